import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Value } from '@sinclair/typebox/value';
import { parse } from 'yaml';
import { FleetConfigSchema } from '../events/mod.ts';
import { formatProblem, parseConfig, readConfigFile } from './config.ts';
import { broken, linesOf, problemsOf, valid } from './testing/configText.ts';

const example = 'deploy/examples/two-servers.yaml';

describe('a valid file', () => {
  test('comes back with every default filled in, at every depth', () => {
    const result = parseConfig(valid, { file: 'f.yaml' });
    if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'));
    expect(Value.Check(FleetConfigSchema, result.config)).toBe(true);
    expect(result.config.pools.web?.healthCheck.probe).toMatchObject({ kind: 'http', expectStatusMax: 399 });
    expect(result.config.servers['web-1']?.power[0]).toMatchObject({ requestTimeoutMs: 10_000 });
    expect(result.config.servers['web-2']?.energy.idleWatts).toBe(140);
    expect(result.config.bounds.maxCyclesPerDay).toBe(48);
  });

  test('may be JSON, and its filled-in form is valid again and the same', () => {
    const first = parseConfig(valid, { file: 'f' });
    if (!first.ok) throw new Error('not valid');
    expect(parseConfig(JSON.stringify(first.config), { file: 'f' })).toEqual(first);
  });

  test('may repeat itself by anchors and merge keys, where what is written wins', async () => {
    const result = parseConfig(await readFile(example, 'utf8'), { file: example });
    if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'));
    const [one, two] = ['web-1', 'web-2'].map((name) => result.config.servers[name]?.power[0]);
    expect(two).toEqual({ ...one, url: 'https://10.0.1.12' });
  });

  test('is read with 2,000 servers', () => {
    const { servers, ...rest } = parse(valid) as { servers: Record<string, object> };
    const many = Object.fromEntries(
      Array.from({ length: 2_000 }, (_, index) => {
        const address = `10.1.${index >> 8}.${index & 255}`;
        return [`s${index}`, { ...servers['web-2'], url: `http://${address}` }];
      }),
    );
    const startedMs = performance.now();
    expect(linesOf(JSON.stringify({ ...rest, servers: many }))).toEqual([]);
    // About 300 ms; what this catches is work that grows with the square of the servers.
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });
});

describe('all mistakes of a file come at once, by line', () => {
  test('five different ones: line, key, rule and value of each', () => {
    const text = broken(
      ['minServers: 1', 'minServers: many'],
      ['http://10.0.0.1:8080', 'ftp://10.0.0.1'],
      ['password: env:BMC_PASSWORD', 'password: hunter2'],
      ['    pool: web\n    url: http://10.0.0.2', '    pool: wbe\n    url: http://10.0.0.2'],
      ['8080\n    capacityRps: 100\n', '8080\n    capacity: 100\n'],
    );
    expect(problemsOf(text)).toEqual([
      {
        file: 'f.yaml',
        line: 4,
        column: 17,
        key: 'pools.web.minServers',
        rule: 'must be a whole number of at least 0',
        value: '"many"',
      },
      expect.objectContaining({
        line: 8,
        key: 'servers.web-1.url',
        rule: 'must be a URL of scheme, host and port only (no user name, no password), such as http://10.0.0.11:8080',
        value: '"ftp://10.0.0.1"',
      }),
      expect.objectContaining({
        line: 14,
        key: 'servers.web-1.power[0].password',
        rule: 'must say where the secret is: env:NAME or file:/path, never the secret itself',
        value: '(hidden)',
      }),
      expect.objectContaining({
        line: 15,
        key: 'servers.web-2.capacityRps',
        rule: 'is missing: must be a number above 0',
      }),
      expect.objectContaining({
        line: 16,
        key: 'servers.web-2.pool',
        rule: 'must be the name of a pool; did you mean "web"?',
        value: '"wbe"',
      }),
      expect.objectContaining({
        line: 18,
        key: 'servers.web-2.capacity',
        rule: 'unknown key; did you mean "capacityRps"?',
        value: '"capacity"',
      }),
    ]);
  });

  const cases: [what: string, text: string, expected: string][] = [
    ['an empty file', '# nothing\n', 'f.yaml:1: must be a configuration; it is empty'],
    ['a list', '- a\n', 'f.yaml:1: must be a mapping (got a list of 1)'],
    [
      'a key twice',
      broken(['    minServers: 1', '    minServers: 1\n    minServers: 2']),
      'f.yaml:5: pools.web.minServers: must not be written twice',
    ],
    [
      'a tab',
      broken(['    minServers', '\tminServers']),
      'f.yaml:4: must be indented by spaces; here is a tab',
    ],
    ['two documents', `${valid}---\na: 1\n`, 'f.yaml:19: must hold one YAML document only'],
    [
      'an empty section',
      broken(['    minServers: 1', '    minServers: 1\n    planner:']),
      'f.yaml:5: pools.web.planner: must be a mapping; write {} when nothing is to be set (got null)',
    ],
    [
      'a bad name',
      broken(['  web-2:', '  Web_2:']),
      'f.yaml:15: servers.Web_2: must be a name of lower-case letters, digits and inner hyphens, at most 63 characters (got "Web_2")',
    ],
    [
      'a reserved name',
      broken(['  web-2:', '  constructor:']),
      'f.yaml:15: servers.constructor: is a reserved word: take another name (got "constructor")',
    ],
    [
      'a duration as text',
      broken(['minServers: 1', 'drainTimeoutMs: 30s']),
      'f.yaml:4: pools.web.drainTimeoutMs: must be a whole number from 1 to 604800000, in milliseconds (got "30s")',
    ],
    [
      'the intended branch of a union',
      broken(['minServers: 1', 'healthCheck: { probe: { kind: http, path: healthz } }']),
      'f.yaml:4: pools.web.healthCheck.probe.path: must begin with / (got "healthz")',
    ],
    [
      'an unknown branch of a union',
      broken(['minServers: 1', 'healthCheck: { probe: { kind: htp } }']),
      'f.yaml:4: pools.web.healthCheck.probe.kind: must be "http" or "tcp" or "grpc"; did you mean "http"? (got "htp")',
    ],
    [
      'a union of words',
      broken(['minServers: 1', 'failAwake: al']),
      'f.yaml:4: pools.web.failAwake: must be "floor" or "pool" (got "al")',
    ],
    [
      'a mapping for a list',
      broken(['- driver', '  driver']),
      'f.yaml:10: servers.web-1.power: must be a list (got {"driver":…,"url":…',
    ],
    [
      'more awake than there are',
      broken(['minServers: 1', 'minServers: 3']),
      'f.yaml:4: pools.web.minServers: minServers and spareServers together must be at most the servers of the pool, which are 2 (got 3)',
    ],
    [
      'more spare than there are',
      broken(['minServers: 1', 'spareServers: 2']),
      'f.yaml:4: pools.web.spareServers: minServers and spareServers together must be at most the servers of the pool, which are 2 (got 2)',
    ],
    [
      'one url twice',
      broken(['http://10.0.0.2:8080', 'http://10.0.0.1:8080/']),
      'f.yaml:17: servers.web-2.url: servers.web-1.url has this address already (got "http://10.0.0.1:8080/")',
    ],
    [
      'credentials in a url',
      broken(['http://10.0.0.2:8080', 'http://admin:hunter2@10.0.0.2']),
      'f.yaml:17: servers.web-2.url: must be a URL of scheme, host and port only (no user name, no password), such as http://10.0.0.11:8080 (got "http://(hidden)@10.0.0.2")',
    ],
    [
      'no valid port',
      broken(['10.0.0.2:8080', '10.0.0.2:99999']),
      'f.yaml:17: servers.web-2.url: must be a URL with a valid host and port (got "http://10.0.0.2:99999")',
    ],
    [
      'fast probes that are slower',
      broken(['minServers: 1', 'healthCheck: { fastIntervalMs: 3000 }']),
      'f.yaml:4: pools.web.healthCheck.fastIntervalMs: must be at most healthCheck.intervalMs, which is 2000: a server that wakes is probed at least as often as one that serves (got 3000)',
    ],
    [
      'no good status',
      broken(['minServers: 1', 'healthCheck: { probe: { kind: http, expectStatusMin: 400 } }']),
      'f.yaml:4: pools.web.healthCheck.probe.expectStatusMin: must be at most healthCheck.probe.expectStatusMax, which is 399: no status would be good (got 400)',
    ],
    [
      'idle above busy',
      broken(['    power', '    energy: { idleWatts: 300 }\n    power']),
      'f.yaml:10: servers.web-1.energy.idleWatts: must be at most energy.busyWatts, which is 200: work draws most (got 300)',
    ],
    [
      'insecure beside a CA',
      broken(['        username', '        tls: { insecure: true, caFile: /ca.pem }\n        username']),
      'f.yaml:13: servers.web-1.power[0].tls.insecure: must not be true beside caFile: it would accept any other certificate too (got true)',
    ],
    [
      'a wear bound out of reach',
      `${valid}bounds: { maxCyclesPerDay: 500 }\n`,
      'f.yaml:19: bounds.maxCyclesPerDay: must be a whole number from 1 to 200 (got 500)',
    ],
    [
      'an infinite number',
      broken(['capacityRps: 100', 'capacityRps: .inf']),
      'f.yaml:9: servers.web-1.capacityRps: must be a number above 0 (got Infinity)',
    ],
    ['YAML 1.1', `%YAML 1.1\n---\n${valid}`, 'f.yaml:1: must be YAML 1.2'],
    [
      'an alias of nothing',
      broken(['capacityRps: 100', 'capacityRps: *rate']),
      'f.yaml:9: servers.web-1.capacityRps: no anchor of this alias stands before it; text that begins with * must be quoted',
    ],
  ];
  test.each(cases)('%s', (_what, text, expected) => {
    expect(linesOf(text).join('\n')).toContain(expected);
  });

  test('two servers behind one BMC, unless it has a system for each', () => {
    const method = (systemId: string) =>
      `    power: [{ driver: redfish, url: "https://10.0.1.1/", username: u, password: env:P${systemId} }]\n`;
    expect(linesOf(valid + method(''))).toEqual([
      'f.yaml:19: servers.web-2.power[0].url: servers.web-1.power[0].url has this BMC already (got "https://10.0.1.1/")',
    ]);
    expect(linesOf(valid + method(', systemId: "2"'))).toEqual([]);
  });

  test('two pools for one host and path, in whatever way it is written', () => {
    const pools = (host: string) => `version: 1
pools:
  a: { minServers: 0, routes: [{ host: Shop.example, pathPrefix: /cart }] }
  b: { minServers: 0, routes: [{ pathPrefix: /cart }, { host: ${host}, pathPrefix: /cart/ }] }
servers: {}
`;
    expect(linesOf(pools('shop.example'))).toEqual([
      'f.yaml:4: pools.b.routes[1].pathPrefix: pool "a" has this host and path already: no request would come here (got "/cart/")',
    ]);
    expect(linesOf(pools('other.example'))).toEqual([]);
    expect(linesOf(pools('"shop.example:80"'))[0]).toContain(
      'must be a host name without scheme, port and path',
    );
  });

  test('more than a thousand are cut, and it is said how many', () => {
    const servers = Array.from({ length: 1_500 }, (_, index) => `  s${index}: 1`).join('\n');
    const lines = linesOf(`version: 1\npools: { web: { minServers: 0 } }\nservers:\n${servers}\n`);
    expect(lines).toHaveLength(1_001);
    expect(lines.at(-1)).toBe('f.yaml:1003: and 500 more problems from here on');
  });
});

describe('bounds', () => {
  test('a few lines of nested aliases are refused, not expanded', () => {
    const names = 'abcdefghij'.split('');
    const lines = names.map((name, index) => {
      const inner = index === 0 ? 'x' : `*${names[index - 1]}`;
      return `${name}: &${name} [${Array(9).fill(inner).join(', ')}]`;
    });
    expect(linesOf(lines.join('\n'))).toEqual([
      'f.yaml:1: must have at most 500000 values, aliases counted in full',
    ]);
  });

  test('deep nesting is refused', () => {
    expect(linesOf('['.repeat(50_000))[0]).toBe('f.yaml:1: must not nest so deep');
  });

  test('a file of more than 4 MiB is refused unread', () => {
    expect(linesOf('#'.repeat(4 * 1024 * 1024 + 1))).toEqual(['f.yaml:1: must have at most 4194304 bytes']);
  });

  test('__proto__ is a key as any other, and pollutes nothing', () => {
    expect(linesOf(`${valid}__proto__: { polluted: 1 }\n`)[0]).toContain('unknown key');
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });
});

describe('reading the file', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'nemuri-config-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  test('says why it can not', async () => {
    await expect(readConfigFile(join(directory, 'none'))).rejects.toThrow(
      "none can't be read: there is no such file",
    );
    await expect(readConfigFile(directory)).rejects.toThrow("can't be read: it is a directory");
    await writeFile(join(directory, 'latin1'), Buffer.from([0x61, 0xff]));
    await expect(readConfigFile(join(directory, 'latin1'))).rejects.toThrow(
      "can't be read: it is not UTF-8 text",
    );
  });
});
