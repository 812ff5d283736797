// Reads the history instead of what comes: every decision of the last hour, with its reason.
//   npm install @nats-io/transport-node @nats-io/jetstream
//   node history.mjs [SUBJECT]        default nemuri.decision.*
import { DeliverPolicy, jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';

const connection = await connect({ servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' });
const consumer = await jetstream(connection).consumers.get('FLEET', {
  filter_subjects: process.argv[2] ?? 'nemuri.decision.*',
  deliver_policy: DeliverPolicy.StartTime,
  opt_start_time: new Date(Date.now() - 3_600_000).toISOString(),
});
let { num_pending: left } = await consumer.info();
const messages = left > 0 ? await consumer.consume() : [];
for await (const message of messages) {
  process.stdout.write(
    `${message.headers.get('ce-time')} ${message.json().reason ?? message.headers.get('ce-type')}\n`,
  );
  left -= 1;
  if (left === 0) break;
}
await connection.close();
