import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { addressGuard } from './addressGuard.ts';
import { BadAnswerError } from './rawHttp.ts';

/** https://github.com/grpc/grpc/blob/master/doc/health-checking.md */
const path = '/grpc.health.v1.Health/Check';
const servingNames = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;
const maxMessageBytes = 4 * 1024;

export interface GrpcTls {
  readonly servername?: string;
  readonly ca?: string;
}

/** `HealthCheckRequest { string service = 1; }` in a gRPC frame: no compression, length, message. */
export function encodeHealthRequest(service: string): Buffer {
  const name = Buffer.from(service, 'utf8');
  if (name.length > 127) throw new Error('the name of a gRPC service has at most 127 bytes');
  // proto3 leaves an empty string out; a tag of field 1, length-delimited, is 0x0a.
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, 5);
  return frame;
}

/**
 * The `status` (field 1) of a `HealthCheckResponse` in its gRPC frame.
 * @throws BadAnswerError when it is none.
 */
export function decodeHealthResponse(frame: Buffer): (typeof servingNames)[number] {
  if (frame.length < 5 || frame[0] !== 0 || frame.readUInt32BE(1) !== frame.length - 5) {
    throw new BadAnswerError('no gRPC message');
  }
  let status = 0;
  let at = 5;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = frame[at++];
      if (byte === undefined) throw new BadAnswerError('a gRPC message that breaks off');
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new BadAnswerError('a gRPC number without an end');
  };
  while (at < frame.length) {
    const tag = varint();
    if (tag === 0x08) status = varint();
    else if ((tag & 7) === 0) varint();
    else if ((tag & 7) === 2) {
      const length = varint();
      at += length;
    } else throw new BadAnswerError('a gRPC field that is none of a health response');
  }
  return servingNames[status] ?? 'UNKNOWN';
}

/**
 * Asks `grpc.health.v1.Health/Check` on a connection of its own. Rejects when there is no answer in time.
 * @returns what the service says of itself, or the gRPC status in words.
 */
export async function checkGrpcHealth(
  url: string,
  service: string,
  tls: GrpcTls,
  timeoutMs: number,
): Promise<{ readonly serving: boolean; readonly detail: string }> {
  const signal = AbortSignal.timeout(timeoutMs);
  const session = connect(url, { ...tls, ...addressGuard.target(new URL(url).hostname) });
  try {
    return await Promise.race([ask(session, service, signal), failureOf(session, signal)]);
  } catch (error) {
    throw signal.aborted ? new Error(`no answer within ${timeoutMs} ms`) : error;
  } finally {
    session.on('error', () => undefined);
    session.destroy();
  }
}

async function failureOf(session: ClientHttp2Session, signal: AbortSignal): Promise<never> {
  const [error] = await once(session, 'error', { signal });
  throw error;
}

async function ask(session: ClientHttp2Session, service: string, signal: AbortSignal) {
  const stream = session.request(
    { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
    { signal },
  );
  stream.on('error', () => undefined);
  stream.end(encodeHealthRequest(service));
  const trailers: Record<string, unknown> = {};
  stream.on('trailers', (fields) => Object.assign(trailers, fields));
  const [headers] = (await once(stream, 'response', { signal })) as [Record<string, unknown>];
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxMessageBytes)
      throw new BadAnswerError(`a gRPC message of more than ${maxMessageBytes} bytes`);
    chunks.push(chunk);
  }
  if (headers[':status'] !== 200)
    return { serving: false, detail: `HTTP status ${String(headers[':status'])}` };
  // An error without a message comes in the headers alone.
  const code = String(trailers['grpc-status'] ?? headers['grpc-status'] ?? 'missing');
  if (code !== '0') return { serving: false, detail: `grpc-status ${code.slice(0, 20)}` };
  const status = decodeHealthResponse(Buffer.concat(chunks));
  return { serving: status === 'SERVING', detail: `gRPC ${status}` };
}
