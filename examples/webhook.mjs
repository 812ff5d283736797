// A receiver of Nemuri's webhooks that believes only what is signed. Node's own modules alone.
//   WEBHOOK_SECRET=… node webhook.mjs [PORT]
// In the configuration:
//   notifications:
//     webhooks:
//       - { url: "http://127.0.0.1:9000/", secret: env:WEBHOOK_SECRET, events: [WakeTimedOut, ServerQuarantined] }
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const secret = process.env.WEBHOOK_SECRET;
if (!secret) throw new Error('WEBHOOK_SECRET is not set');
const maxAgeSeconds = 300;
const maxBodyBytes = 1_048_576;

/** `nemuri-signature: t=<seconds>,v1=<hex>`: HMAC-SHA256 over `<seconds>.<body>`; an old one may be a repetition. */
function isSigned(header, body) {
  const [, seconds, hex] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(header ?? '') ?? [];
  if (!hex || Math.abs(Date.now() / 1_000 - Number(seconds)) > maxAgeSeconds) return false;
  const expected = createHmac('sha256', secret).update(`${seconds}.${body}`).digest();
  return timingSafeEqual(expected, Buffer.from(hex, 'hex'));
}

const server = createServer((request, response) => {
  const parts = [];
  let size = 0;
  request.on('data', (part) => {
    size += part.length;
    if (size > maxBodyBytes) request.destroy();
    else parts.push(part);
  });
  request.on('end', () => {
    const body = Buffer.concat(parts).toString();
    if (!isSigned(request.headers['nemuri-signature'], body)) {
      response.writeHead(401).end();
      return;
    }
    // A CloudEvent in structured mode. The same `id` may come again: what you do with it should bear that.
    const { time, type, data } = JSON.parse(body);
    process.stdout.write(`${time} ${type} ${JSON.stringify(data)}\n`);
    response.writeHead(204).end();
  });
});
server.listen(Number(process.argv[2] ?? 9000), '127.0.0.1', () =>
  process.stdout.write(`listening on ${server.address().port}\n`),
);
