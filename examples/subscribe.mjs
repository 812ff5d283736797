// Subscribes to Nemuri's events with Node and the NATS project's client: npm install @nats-io/transport-node
//   node subscribe.mjs [SUBJECT]      default nemuri.>; NATS_URL names the server
// A subject may be as narrow as you like: nemuri.state.web-1.>, nemuri.decision.*, nemuri.meter.*
// docs/reference/events.md says what stands where.
import { connect } from '@nats-io/transport-node';

const connection = await connect({ servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' });
const subscription = connection.subscribe(process.argv[2] ?? 'nemuri.>');
process.once('SIGINT', () => connection.drain());

for await (const message of subscription) {
  // CloudEvents in binary mode: the attributes are headers, the data is JSON. Snapshots and requests have no type.
  const type = message.headers?.get('ce-type');
  if (!type) continue;
  process.stdout.write(`${message.headers.get('ce-time')} ${type} ${JSON.stringify(message.json())}\n`);
}
