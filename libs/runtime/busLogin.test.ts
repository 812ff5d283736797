import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import { type Bus, connectJetStreamBus, inspectBus } from '../bus/mod.ts';
import { makeNatsHarness, type NatsHarness } from '../bus/testing/natsHarness.ts';
import { until } from '../bus/testing/until.ts';
import { busLogin } from './busLogin.ts';

let folder: string;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemuri-login-'));
  const ec = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const;
  const names = [{ name: 'commonName', value: 'localhost' }];
  const ca = await generate([{ name: 'commonName', value: 'CA of this test' }], {
    ...ec,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true },
    ],
  });
  const issue = () =>
    generate(names, {
      ...ec,
      ca: { key: ca.private, cert: ca.cert },
      extensions: [
        { name: 'keyUsage', digitalSignature: true, critical: true },
        { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
        { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
      ],
    });
  const [server, client, stranger] = await Promise.all([issue(), issue(), generate(names, ec)]);
  await writeFile(at('ca.pem'), ca.cert);
  for (const [name, pair] of Object.entries({ server, client, stranger })) {
    await writeFile(at(`${name}.pem`), pair.cert);
    await writeFile(at(`${name}.key`), pair.private);
  }
  await writeFile(at('password'), 'correct horse\n');
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('variables', () => {
  test('none are no login', async () => expect(await busLogin({})).toEqual({}));

  test('user and password by reference', async () => {
    const env = { NEMURI_NATS_USER: 'power', NEMURI_NATS_PASSWORD: `file:${at('password')}` };
    expect(await busLogin(env)).toEqual({ user: 'power', password: 'correct horse' });
  });

  test.each<[string, NodeJS.ProcessEnv]>([
    ['NEMURI_NATS_USER and NEMURI_NATS_PASSWORD must be there together', { NEMURI_NATS_USER: 'power' }],
    ['NEMURI_NATS_CERT and NEMURI_NATS_KEY must be there together', { NEMURI_NATS_CERT: '/none' }],
    ['NEMURI_NATS_CA must be a file that can be read (got "/none")', { NEMURI_NATS_CA: '/none' }],
  ])('%s', (message, env) => expect(busLogin(env)).rejects.toThrow(message));

  test('a password in the place of its reference is not shown', async () => {
    const env = { NEMURI_NATS_USER: 'power', NEMURI_NATS_PASSWORD: 'hunter2' };
    const error: Error = await busLogin(env).catch((thrown) => thrown);
    expect(error.message).toMatch(/^NEMURI_NATS_PASSWORD: .*env:NAME/);
    expect(error.message).not.toContain('hunter2');
  });
});

describe('a nats-server that wants a client certificate', () => {
  let harness: NatsHarness;
  let url: string;
  const opened: Bus[] = [];

  beforeAll(async () => {
    const files = `cert_file: "${at('server.pem')}", key_file: "${at('server.key')}", ca_file: "${at('ca.pem')}"`;
    const users = 'authorization { users: [ { user: "power", password: "correct horse" } ] }';
    harness = await makeNatsHarness(`tls { ${files}, verify: true }\n${users}`);
    // The client checks names, not addresses.
    url = harness.server.url.replace('127.0.0.1', 'localhost');
  });
  afterAll(async () => {
    await Promise.all(opened.map((bus) => bus.close()));
    await harness?.close();
  });

  const right = () => ({
    NEMURI_NATS_USER: 'power',
    NEMURI_NATS_PASSWORD: `file:${at('password')}`,
    NEMURI_NATS_CA: at('ca.pem'),
    NEMURI_NATS_CERT: at('client.pem'),
    NEMURI_NATS_KEY: at('client.key'),
  });
  const open = async (env: NodeJS.ProcessEnv, problems: string[] = []) => {
    const onProblem = (problem: Error) => void problems.push(problem.message);
    const login = await busLogin(env);
    const options = { servers: url, source: 'test', firstConnectTimeoutMs: 2_000, ...login, onProblem };
    const bus = await connectJetStreamBus(options);
    opened.push(bus);
    return bus;
  };

  test('takes us by CA, certificate and password, and once more after it was gone', async () => {
    const problems: string[] = [];
    const bus = await open(right(), problems);
    expect([bus.lostSinceMs, problems]).toEqual([undefined, []]);
    expect(await bus.lastSequence('FLEET')).toBe(0);
    await harness.server.restart();
    await until(() => bus.lostSinceMs === undefined);
    expect(await bus.lastSequence('FLEET')).toBe(0);
    const facts = await inspectBus({
      servers: [url],
      timeoutMs: 5_000,
      nowMs: Date.now,
      ...(await busLogin(right())),
    });
    expect(facts.streams).toHaveLength(2);
  });

  test.each<[string, () => NodeJS.ProcessEnv]>([
    ['without our CA', () => ({ ...right(), NEMURI_NATS_CA: undefined })],
    ['with a CA that did not issue it', () => ({ ...right(), NEMURI_NATS_CA: at('stranger.pem') })],
    [
      'without a certificate of ours',
      () => ({ ...right(), NEMURI_NATS_CERT: undefined, NEMURI_NATS_KEY: undefined }),
    ],
    [
      'with a stranger’s certificate',
      () => ({ ...right(), NEMURI_NATS_CERT: at('stranger.pem'), NEMURI_NATS_KEY: at('stranger.key') }),
    ],
  ])('is not reached %s', async (_how, env) => {
    const problems: string[] = [];
    const bus = await open(env(), problems);
    expect(bus.lostSinceMs).toBeDefined();
    await until(() => problems.length > 0);
    expect(problems[0]).toMatch(/certificate|alert|ssl|tls|closed|timeout/i);
  });
});

test.each<[string, (url: string) => [string, NodeJS.ProcessEnv]]>([
  ['a CA is named', (url) => [url, { NEMURI_NATS_CA: at('ca.pem') }]],
  ['the URL says tls://', (url) => [url.replace('nats://', 'tls://'), {}]],
])('nothing goes to a server without TLS where %s', async (_when, how) => {
  const harness = await makeNatsHarness();
  const [servers, env] = how(harness.server.url);
  const problems: string[] = [];
  const onProblem = (problem: Error) => void problems.push(problem.message);
  const login = await busLogin(env);
  const options = { servers, source: 'test', firstConnectTimeoutMs: 1_000, ...login, onProblem };
  const bus = await connectJetStreamBus(options);
  expect(bus.lostSinceMs).toBeDefined();
  expect(problems.join()).toMatch(/server does not support 'tls'/);
  await bus.close();
  await harness.close();
});
