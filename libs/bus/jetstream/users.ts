import { questionSubject, streams, subjectsWrittenBy, type Writer } from '../../events/mod.ts';
import { inboxPrefixOf } from './credentials.ts';
import { snapshotBucket } from './streams.ts';

/** A user of nats-server with no right that its service does not use. */
export interface NatsUser {
  readonly name: string;
  /** The variable of nats-server's environment that holds the password, or its bcrypt hash. */
  readonly passwordVariable: string;
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** May answer what it was asked. */
  readonly answers: boolean;
}

const snapshotStream = `KV_${snapshotBucket}`;
const readStreams = Object.keys(streams);

/** The writers that run as services, and the operator's hand. Each keeps snapshots under its own name. */
const writers = [
  'proxy',
  'planner',
  'power',
  'health',
  'console',
  'cli',
] as const satisfies readonly Writer[];

/** Snapshots beside a service's own: the states along the history; what `nemuri doctor` reads the clock by. */
const moreSnapshots: Readonly<Partial<Record<Writer, readonly string[]>>> = {
  planner: ['history'],
  cli: ['doctor'],
};

/**
 * One user for each service, one for the agent of each of these servers (`agent-<server>`), and `listener`, who reads
 * everything and publishes nothing. Streams are made by `cli` alone: the services wait until it has.
 *
 * What JetStream can't part by subject: whoever may read a stream may read all of it (no fact holds a secret), and may
 * end another's reading if it guesses the random name of its consumer (the reader opens a new one).
 */
export function natsUsers(servers: readonly string[]): NatsUser[] {
  return [
    ...writers.map((writer) =>
      user(writer, {
        publish: [
          ...subjectsWrittenBy(writer),
          ...snapshotsOf(writer),
          ...(writer === 'power' ? [questionSubject('*')] : []),
          ...(writer === 'cli' ? makeStreams() : []),
        ],
      }),
    ),
    ...servers.map((server) =>
      user(`agent-${server}`, {
        publish: subjectsWrittenBy('agent', server),
        subscribe: [questionSubject(server)],
        answers: true,
      }),
    ),
    user('listener', {
      subscribe: readStreams.flatMap((stream) => streams[stream as keyof typeof streams].subjects),
    }),
  ];
}

function user(name: string, rights: Partial<Pick<NatsUser, 'publish' | 'subscribe' | 'answers'>>): NatsUser {
  const { publish = [], subscribe = [], answers = false } = rights;
  return {
    name,
    passwordVariable: `NEMURI_NATS_PASSWORD_${name.toUpperCase().replaceAll('-', '_')}`,
    publish: [...publish, ...readStreams.flatMap(reading), ...readSnapshots],
    subscribe: [...subscribe, `${inboxPrefixOf(name).inboxPrefix}.>`],
    answers,
  };
}

/** To look at a stream and to read it by a consumer of one's own (NATS ADR-1 and ADR-17 name these subjects). */
function reading(stream: string): string[] {
  return [
    `$JS.API.STREAM.INFO.${stream}`,
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}`,
    `$JS.API.CONSUMER.DELETE.${stream}.*`,
    `$JS.FC.${stream}.>`,
  ];
}

const readSnapshots: readonly string[] = [
  '$JS.API.INFO',
  `$JS.API.STREAM.INFO.${snapshotStream}`,
  `$JS.API.STREAM.MSG.GET.${snapshotStream}`,
  `$JS.API.DIRECT.GET.${snapshotStream}.>`,
];

function snapshotsOf(writer: Writer): string[] {
  return [writer, ...(moreSnapshots[writer] ?? [])].flatMap((key) => {
    const subject = `$KV.${snapshotBucket}.${key}`;
    return [subject, `${subject}.>`];
  });
}

function makeStreams(): string[] {
  return [...readStreams, snapshotStream].flatMap((stream) => [
    `$JS.API.STREAM.CREATE.${stream}`,
    `$JS.API.STREAM.UPDATE.${stream}`,
  ]);
}

/** These users as a block of nats-server's configuration, to be taken in by `include`. */
export function renderNatsUsers(users: readonly NatsUser[]): string {
  return `authorization {\n  users: [\n${users.map(renderUser).join('')}  ]\n}\n`;
}

function renderUser({ name, passwordVariable, publish, subscribe, answers }: NatsUser): string {
  return [
    '    {',
    `      user: ${JSON.stringify(name)}`,
    `      password: $${passwordVariable}`,
    '      permissions: {',
    `        publish: { allow: [\n${list(publish)}        ] }`,
    `        subscribe: { allow: [\n${list(subscribe)}        ] }`,
    ...(answers ? ['        allow_responses: { max: 1, expires: "1m" }'] : []),
    '      }',
    '    }',
    '',
  ].join('\n');
}

function list(subjects: readonly string[]): string {
  return subjects.map((subject) => `          ${JSON.stringify(subject)}\n`).join('');
}
