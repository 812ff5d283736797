import type { BusFacts } from '../../libs/bus/mod.ts';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { type Finding, failure, ok, warning } from './finding.ts';

/** What is right and wrong with the bus, by what it says of itself. Pure. */

const oldestVersion = [2, 9] as const;
/** An event that fills more of a message than this will not fit one day. */
const fullShare = 0.5;
/** Of a stream's limit in bytes: beyond, the oldest history is dropped soon. */
const nearlyFullShare = 0.9;

export function busFindings(where: string, facts: BusFacts, config: FleetConfig | undefined): Finding[] {
  const { version, maxPayloadBytes, roundTripMs, streams, jetStreamProblem, hasNoMajority } = facts;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < oldestVersion[0] || (major === oldestVersion[0] && minor < oldestVersion[1]);
  const reached = `nats-server ${version}, ${Math.round(roundTripMs)} ms away, messages up to ${maxPayloadBytes} bytes`;
  return [
    isOld
      ? failure('bus', where, `nats-server ${version} is too old`, 'install nats-server 2.9 or newer')
      : ok('bus', where, reached),
    ...(streams
      ? streams.flatMap((stream) => streamFindings(stream))
      : [
          failure(
            'bus',
            where,
            `JetStream can't be used: ${jetStreamProblem ?? 'it is off'}`,
            hasNoMajority
              ? majorityMend
              : 'start nats-server with -js -sd DIRECTORY, and give this account JetStream',
          ),
        ]),
    ...payloadFindings(where, maxPayloadBytes, config),
  ];
}

const majorityMend =
  'start the nats-servers that are missing, more than half of them have to run: docs/operating.md, When the bus is lost';

const damageMend =
  'the disk; then a copy of the store, or nemuri configure: docs/operating.md, A damaged store';

function streamFindings({
  name,
  state,
  trouble,
  damage,
}: NonNullable<BusFacts['streams']>[number]): Finding[] {
  if (trouble !== undefined) return [failure('bus', name, trouble, majorityMend)];
  if (damage !== undefined) return [failure('bus', name, damage, damageMend)];
  if (!state)
    return [failure('bus', name, 'the stream is missing', 'start a service: it creates its streams')];
  const { messages, bytes, maxBytes, replicas, missing } = state;
  const copies = replicas === 1 ? '1 copy' : `${replicas} copies`;
  const mebibytes = (bytes / 1_048_576).toFixed(1);
  const found = `${messages} events, ${mebibytes} MiB, ${copies}`;
  if (missing > 0 && name === 'FLEET')
    return [
      failure('bus', name, `${missing} events are gone: nats-server could not read its files`, damageMend),
    ];
  if (maxBytes > 0 && bytes > nearlyFullShare * maxBytes && name === 'FLEET') {
    const full = `${Math.round((bytes / maxBytes) * 100)} % of its limit is used; then the oldest history goes`;
    return [warning('bus', name, full, `nats stream edit ${name} --max-bytes=…`)];
  }
  return [ok('bus', name, found)];
}

function payloadFindings(where: string, maxPayloadBytes: number, config: FleetConfig | undefined): Finding[] {
  if (!config || maxPayloadBytes === 0) return [];
  const size = Buffer.byteLength(JSON.stringify(config));
  if (size < fullShare * maxPayloadBytes) return [];
  const found = `the configuration takes ${size} bytes of the ${maxPayloadBytes} that one message may have`;
  const mend = `max_payload: ${Math.max(4, Math.ceil((4 * size) / 1_048_576))}MB in nats-server's configuration`;
  return [(size > maxPayloadBytes ? failure : warning)('bus', where, found, mend)];
}
