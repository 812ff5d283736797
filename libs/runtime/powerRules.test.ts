import { formatProblem, parseConfig } from './config.ts';

/** The lines of what is wrong with a server of these methods, without the file's name. */
function problems(...methods: object[]): string[] {
  const server = { pool: 'web', url: 'http://10.0.0.1:8080', capacityRps: 100, power: methods };
  const text = JSON.stringify({ version: 1, pools: { web: {} }, servers: { 'web-1': server } });
  const result = parseConfig(text, { file: 'f' });
  return result.ok
    ? []
    : result.problems.map((problem) => formatProblem(problem).replace('f:1: servers.web-1.', ''));
}

const wol = { driver: 'wol', macs: ['52:54:00:12:34:56'] };
const ipmi = { driver: 'ipmi', host: '10.0.1.1', username: 'nemuri', password: 'env:BMC' };
const ssh = {
  driver: 'ssh',
  host: '10.0.0.1',
  username: 'nemuri',
  keyFile: '/etc/nemuri/key',
  knownHostsFile: '/etc/nemuri/known_hosts',
  sleepCommand: 'sudo systemctl poweroff',
};
const exec = { driver: 'exec', wake: ['/opt/wake'] };
const read = { path: '/state', jsonPath: 'output' };
const http = { driver: 'http', url: 'http://10.0.2.1', wake: { path: '/on' }, readPower: read };
const pdu = { driver: 'pdu', host: '10.0.3.1', outletOid: '1.3.6.1.4.1.318.1.4.7', community: 'env:SNMP' };

test('one of each, the PDU last, is valid', () => {
  expect(problems(wol, { driver: 'agent' }, ipmi, ssh, exec, http, pdu)).toEqual([]);
});

test.each<[string, object[], string]>([
  ['a PDU that is not last', [pdu, wol], 'power[0].driver: must be the last method'],
  [
    'an agent behind another method that sleeps',
    [ipmi, { driver: 'agent' }],
    'power[1].driver: must stand before other methods that sleep',
  ],
  ['sleep without wake', [ssh], 'power: must have a method that wakes'],
  [
    'ssh that knows no host key',
    [wol, { ...ssh, knownHostsFile: undefined }],
    'power[1].hostKey: is missing',
  ],
  [
    'ssh that knows it twice',
    [wol, { ...ssh, hostKey: 'ssh-ed25519 AAAA' }],
    'power[1].hostKey: must not stand beside knownHostsFile',
  ],
  ['a host that is an option', [{ ...ipmi, host: '-oProxyCommand=x' }], 'power[0].host: must be a host name'],
  ['a user that is an option', [wol, { ...ssh, username: '-x' }], 'power[1].username: must be a user name'],
  ['a password of IPMI in the open', [{ ...ipmi, password: 'public' }], '(got (hidden))'],
  [
    'cipher suite 0, which asks for no password',
    [{ ...ipmi, cipherSuite: 0 }],
    'power[0].cipherSuite: must be',
  ],
  [
    'a community in the open',
    [{ ...pdu, community: 'public' }],
    'power[0].community: must say where the secret is',
  ],
  [
    'no way to be known',
    [{ ...pdu, community: undefined }],
    'power[0].community: is missing: community or user',
  ],
  ['on and off alike', [{ ...pdu, offValue: 1 }], 'power[0].offValue: must differ from onValue'],
  ['a cycle in the dark', [{ ...pdu, cycle: true }], 'power[0].cycle: needs onAboveWatts'],
  [
    'watts without a meter',
    [{ ...http, onAboveWatts: 9 }],
    'power[0].onAboveWatts: has no use without meter',
  ],
  [
    'a secret among the variables',
    [{ ...exec, environment: { API_TOKEN: 'x' } }],
    'power[0].environment.API_TOKEN: must be named in secrets',
  ],
  [
    'a secret among the headers',
    [{ ...http, headers: { Authorization: 'Basic x' } }],
    'power[0].headers.Authorization: must be named in secretHeaders',
  ],
  [
    'a secret in a query',
    [{ ...http, wake: { path: '/cm?user=a&password=b&cmnd=On' } }],
    'power[0].wake.path: must not hold a secret',
  ],
  ['a place twice', [{ ...http, readPower: { ...read, pattern: '(o)' } }], 'must not stand beside pattern'],
  [
    'a pattern without a group',
    [{ ...http, readPower: { path: '/', pattern: 'on|off' } }],
    'power[0].readPower.pattern: must be a regular expression with one group',
  ],
  ['a pattern that is none', [{ ...http, readPower: { path: '/', pattern: '(' } }], 'with one group'],
  ['a MAC that is none', [{ driver: 'wol', macs: ['52:54'] }], 'power[0].macs[0]: must be a MAC address'],
  ['a broadcast that is none', [{ ...wol, broadcasts: ['10.0.0.300'] }], 'must be an IPv4 address'],
  [
    'an OID that is none',
    [{ ...pdu, outletOid: 'outlet.7' }],
    'power[0].outletOid: must be an OID in figures',
  ],
  [
    'a connection longer than its command',
    [wol, { ...ssh, connectTimeoutMs: 60_000 }],
    'power[1].connectTimeoutMs: must be at most commandTimeoutMs',
  ],
  ['a driver that is none', [{ driver: 'ipmy' }], 'did you mean "ipmi"?'],
])('%s', (_what, methods, expected) => {
  const lines = problems(...methods);
  expect(lines).toEqual([expect.stringContaining(expected)]);
  expect(lines.join()).not.toContain('public');
});

test.each<[string, object, object]>([
  ['BMC', ipmi, ipmi],
  ['network card', wol, { ...wol, macs: ['52-54-00-12-34-56'] }],
  ['outlet', pdu, { ...pdu, outletOid: `.${pdu.outletOid}` }],
])('two servers with one %s', (what, one, other) => {
  const server = (index: number, method: object) => {
    return { pool: 'web', url: `http://10.0.0.${index}`, capacityRps: 1, power: [method] };
  };
  const servers = { a: server(1, one), b: server(2, other) };
  const result = parseConfig(JSON.stringify({ version: 1, pools: { web: {} }, servers }), { file: 'f' });
  expect(result.ok ? [] : result.problems.map(({ rule }) => rule)).toEqual([
    expect.stringContaining(`has this ${what} already`),
  ]);
});
