import { type TSchema, Type } from '@sinclair/typebox';
import { durationMs, SecretReference, settings, strictObject, UrlPattern } from './shared.ts';

/** How machines are switched and what they draw. */

const TlsSchema = strictObject(
  {
    caFile: Type.Optional(
      Type.String({ minLength: 1, description: 'PEM file of the CA (or the self-signed certificate)' }),
    ),
    fingerprint256: Type.Optional(
      Type.String({
        pattern: '^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$',
        description: 'SHA-256 fingerprint of the certificate, 32 bytes in hex parted by colons',
      }),
    ),
    insecure: Type.Optional(Type.Boolean({ description: 'true accepts any certificate; never a default' })),
  },
  { description: 'How the certificate of a BMC is verified; without it, by the system CAs' },
);

function named<S extends TSchema>(pattern: string, schema: S, description: string) {
  return Type.Record(Type.String({ pattern }), schema, {
    maxProperties: 32,
    additionalProperties: false,
    default: {},
    description,
  });
}

const byVariable = <S extends TSchema>(schema: S, description: string) =>
  named('^[A-Za-z_][A-Za-z0-9_]{0,63}$', schema, description);
const byHeader = <S extends TSchema>(schema: S, description: string) =>
  named('^[A-Za-z][A-Za-z0-9-]{0,63}$', schema, description);

/** An outlet that is on says little of the machine behind it: its watts do. */
const OnAboveWatts = Type.Optional(
  Type.Number({
    exclusiveMinimum: 0,
    maximum: 100_000,
    description: 'The outlet on and less drawn than this: the machine is off; needs a meter',
  }),
);

/** What the ladder asks of every method, whatever its driver. */
const ladderSettings = {
  tries: Type.Integer({
    minimum: 1,
    maximum: 20,
    default: 3,
    description: 'Wakes tried before the ladder is climbed',
  }),
  confirmTimeoutMs: durationMs(
    60_000,
    'From a wake attempt until the hardware must say on; then it is tried again',
  ),
  allowForceOff: Type.Boolean({
    default: false,
    description: 'May cut the power when the graceful way timed out',
  }),
  gracefulOffTimeoutMs: durationMs(180_000, 'Graceful shutdown until it counts as failed, or is forced'),
};

// No leading hyphen: a program would take it for an option.
const HostPattern = '^[A-Za-z0-9\\[]([A-Za-z0-9.:%_\\]-]*)$';
const Host = Type.String({ pattern: HostPattern, maxLength: 253, description: 'Host name or address' });
const port = (number: number) =>
  Type.Integer({ minimum: 1, maximum: 65_535, default: number, description: 'Its port' });
const Username = Type.String({
  pattern: '^[A-Za-z0-9_][A-Za-z0-9_.@\\\\-]*$',
  maxLength: 64,
  description: 'Who we log in as',
});

/** How one machine is switched through its BMC by Redfish (DMTF DSP0266). */
export const RedfishMethodSchema = strictObject(
  {
    driver: Type.Literal('redfish'),
    url: Type.String({ pattern: UrlPattern, description: 'The BMC: scheme, host and port' }),
    username: Type.String({
      minLength: 1,
      description: 'Who we log in as: a user with the least rights that switch',
    }),
    password: SecretReference,
    systemId: Type.Optional(
      Type.String({ minLength: 1, description: 'Which system, when the BMC has several' }),
    ),
    tls: Type.Optional(TlsSchema),
    requestTimeoutMs: durationMs(10_000, 'One HTTP exchange with the BMC'),
    taskTimeoutMs: durationMs(120_000, 'A Redfish task that the BMC answered with 202'),
    ...ladderSettings,
  },
  { description: 'Redfish over HTTP(S)' },
);

/** How one machine is switched off by the agent that runs on it (`nemuri agent`). It can't wake. */
export const AgentMethodSchema = strictObject(
  {
    driver: Type.Literal('agent'),
    how: Type.Union([Type.Literal('suspend'), Type.Literal('hibernate'), Type.Literal('powerOff')], {
      default: 'powerOff',
      description: 'How it sleeps: suspend and hibernate wake faster and need Wake-on-LAN from that state',
    }),
    requestTimeoutMs: durationMs(15_000, "From the order to the agent's answer, its last look included"),
    ...ladderSettings,
    tries: Type.Integer({ minimum: 1, maximum: 20, default: 1, description: 'It wakes nothing: once' }),
    confirmTimeoutMs: durationMs(60_000, 'It wakes nothing'),
    allowForceOff: Type.Literal(false, { default: false, description: 'An agent never forces' }),
  },
  { description: 'The agent on the machine itself' },
);

/** How one machine is switched through its BMC by IPMI (ipmitool). */
export const IpmiMethodSchema = strictObject(
  {
    driver: Type.Literal('ipmi'),
    host: Host,
    port: port(623),
    username: Username,
    password: SecretReference,
    interface: Type.Union([Type.Literal('lanplus'), Type.Literal('lan')], {
      default: 'lanplus',
      description: 'IPMI 2.0 (RMCP+), or 1.5 for BMCs that know no better',
    }),
    // Cipher suite 0 asks for no password at all.
    cipherSuite: Type.Integer({ minimum: 1, maximum: 17, default: 3, description: 'Of lanplus' }),
    privilege: Type.Union([Type.Literal('USER'), Type.Literal('OPERATOR'), Type.Literal('ADMINISTRATOR')], {
      default: 'OPERATOR',
      description: 'OPERATOR is enough to switch; USER can only read',
    }),
    commandTimeoutMs: durationMs(15_000, 'One run of ipmitool'),
    ...ladderSettings,
  },
  { description: 'IPMI over LAN, by ipmitool' },
);

const MacPattern = '^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$';
const Ipv4Pattern = '^((25[0-5]|2[0-4]\\d|1?\\d?\\d)\\.){3}(25[0-5]|2[0-4]\\d|1?\\d?\\d)$';

/** Wake-on-LAN: the magic packet to each network card, by each address, several times. */
export const WolMethodSchema = strictObject(
  {
    driver: Type.Literal('wol'),
    macs: Type.Array(Type.String({ pattern: MacPattern }), {
      minItems: 1,
      maxItems: 8,
      description: 'Its network cards',
    }),
    broadcasts: Type.Array(Type.String({ pattern: Ipv4Pattern }), {
      minItems: 1,
      maxItems: 8,
      default: ['255.255.255.255'],
      description: 'Where to: the local network, or the broadcast address of another (10.0.3.255)',
    }),
    ports: Type.Array(Type.Integer({ minimum: 1, maximum: 65_535 }), {
      minItems: 1,
      maxItems: 4,
      default: [9],
      description: 'UDP; 9 and 7 are usual',
    }),
    sourceAddress: Type.Optional(
      Type.String({ pattern: Ipv4Pattern, description: 'Our address in the network that it is sent to' }),
    ),
    secureOn: Type.Optional(SecretReference),
    packets: Type.Integer({ minimum: 1, maximum: 100, default: 3, description: 'Of each kind, for one try' }),
    packetIntervalMs: durationMs(300, 'Between two rounds of packets'),
    ...ladderSettings,
  },
  { description: 'Wake-on-LAN; wakes only' },
);

const remoteCommand = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 1_000, description }));

/** How one machine is told by a fixed command over SSH (OpenSSH's client). */
export const SshMethodSchema = strictObject(
  {
    driver: Type.Literal('ssh'),
    host: Host,
    port: port(22),
    username: Username,
    keyFile: Type.String({
      pattern: '^/[^"%\\s]+$',
      description: 'The private key, of mode 600 and without passphrase',
    }),
    hostKey: Type.Optional(
      Type.String({
        pattern: '^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+$',
        maxLength: 4_000,
        description: 'The host key, as "ssh-keyscan" prints it after the name',
      }),
    ),
    knownHostsFile: Type.Optional(
      Type.String({ pattern: '^/[^"%\\s]+$', description: 'In place of hostKey' }),
    ),
    sleepCommand: remoteCommand('Shuts it down in order, such as sudo poweroff'),
    forcedSleepCommand: remoteCommand('Cuts its power, when the graceful way timed out'),
    wakeCommand: remoteCommand('Wakes it, where the host is another machine that can'),
    readPowerCommand: remoteCommand('Prints on or off'),
    meterCommand: remoteCommand('Prints watts'),
    connectTimeoutMs: durationMs(10_000, 'Until the connection stands'),
    commandTimeoutMs: durationMs(30_000, 'Connection and command together'),
    ...ladderSettings,
  },
  { description: 'A fixed command over SSH' },
);

const argv = (description: string) =>
  Type.Optional(Type.Array(Type.String({ maxLength: 1_000 }), { minItems: 1, maxItems: 64, description }));

/** How one machine is switched by a program of the operator's own. */
export const ExecMethodSchema = strictObject(
  {
    driver: Type.Literal('exec'),
    wake: argv('Program and arguments that wake it'),
    sleep: argv('Program and arguments that shut it down in order'),
    forcedSleep: argv('Program and arguments that cut its power'),
    readPower: argv('Program and arguments that print on or off'),
    meter: argv('Program and arguments that print watts'),
    environment: byVariable(Type.String({ maxLength: 1_000 }), 'What is no secret'),
    secrets: byVariable(SecretReference, 'Environment variables whose values are secrets'),
    commandTimeoutMs: durationMs(30_000, 'One run of the program; then it and its children are killed'),
    ...ladderSettings,
  },
  { description: 'A program with its arguments; never a shell' },
);

const httpRequest = {
  method: Type.Union(
    [Type.Literal('GET'), Type.Literal('POST'), Type.Literal('PUT'), Type.Literal('PATCH')],
    { default: 'GET', description: 'HTTP method' },
  ),
  path: Type.String({ pattern: '^/', maxLength: 1_000, description: 'Path and query' }),
  body: Type.Optional(Type.String({ maxLength: 4_000, description: 'What is sent' })),
};
const answerPlace = {
  jsonPath: Type.Optional(
    Type.String({
      pattern: '^[^.\\s]+(\\.[^.\\s]+)*$',
      maxLength: 200,
      description: 'Such as StatusSNS.ENERGY.Power',
    }),
  ),
  pattern: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'Regular expression; its first group is the value',
    }),
  ),
};

/** A smart plug or PDU with an HTTP interface (Shelly, Tasmota, …). */
export const HttpMethodSchema = strictObject(
  {
    driver: Type.Literal('http'),
    url: Type.String({ pattern: UrlPattern, description: 'The plug: scheme, host and port' }),
    tls: Type.Optional(TlsSchema),
    headers: byHeader(Type.String({ maxLength: 1_000 }), 'What is no secret'),
    secretHeaders: byHeader(SecretReference, 'Headers whose values are secrets'),
    secretQuery: byVariable(SecretReference, 'Query parameters whose values are secrets'),
    auth: Type.Optional(
      strictObject(
        {
          kind: Type.Union([Type.Literal('basic'), Type.Literal('digest')], {
            description: 'RFC 7617 or 7616',
          }),
          username: Type.String({ minLength: 1, maxLength: 64, description: 'Who we log in as' }),
          password: SecretReference,
        },
        { description: 'How we log in; left out: not at all' },
      ),
    ),
    wake: Type.Optional(strictObject(httpRequest, { description: 'The request that switches it on' })),
    sleep: Type.Optional(
      strictObject(httpRequest, { description: 'The request that switches it off, hard' }),
    ),
    readPower: Type.Optional(
      strictObject(
        {
          ...httpRequest,
          ...answerPlace,
          on: Type.String({
            minLength: 1,
            maxLength: 100,
            default: 'true',
            description: 'The value that means on',
          }),
          off: Type.String({
            minLength: 1,
            maxLength: 100,
            default: 'false',
            description: 'The value that means off',
          }),
        },
        { description: 'The request that reads whether it is on' },
      ),
    ),
    meter: Type.Optional(
      strictObject({ ...httpRequest, ...answerPlace }, { description: 'The request that reads its watts' }),
    ),
    onAboveWatts: OnAboveWatts,
    requestTimeoutMs: durationMs(5_000, 'One HTTP exchange'),
    ...ladderSettings,
  },
  { description: 'Smart plugs and PDUs over HTTP' },
);

const Oid = Type.String({ pattern: '^\\.?\\d+(\\.\\d+){2,127}$', maxLength: 500 });

/** One outlet of a PDU by SNMP (v2c, RFC 3416; v3, RFC 3414). */
export const PduMethodSchema = strictObject(
  {
    driver: Type.Literal('pdu'),
    host: Host,
    port: port(161),
    community: Type.Optional(SecretReference),
    user: Type.Optional(
      strictObject(
        {
          name: Type.String({ minLength: 1, maxLength: 32, description: 'The SNMP user' }),
          authProtocol: Type.Union(
            [
              Type.Literal('md5'),
              Type.Literal('sha'),
              Type.Literal('sha224'),
              Type.Literal('sha256'),
              Type.Literal('sha384'),
              Type.Literal('sha512'),
            ],
            { default: 'sha', description: 'RFC 3414 and 7860' },
          ),
          authKey: SecretReference,
          privProtocol: Type.Union(
            [Type.Literal('des'), Type.Literal('aes'), Type.Literal('aes256b'), Type.Literal('aes256r')],
            { default: 'aes', description: 'RFC 3414 and 3826; aes256 by the drafts of its vendors' },
          ),
          privKey: Type.Optional(SecretReference),
        },
        { description: 'SNMP v3, in place of community (v2c)' },
      ),
    ),
    outletOid: { ...Oid, description: 'Written to switch, and read' },
    onValue: Type.Integer({ default: 1, description: 'Of outletOid: on' }),
    offValue: Type.Integer({ default: 2, description: 'Of outletOid: off' }),
    wattsOid: Type.Optional({ ...Oid, description: 'The watts of the outlet' }),
    wattsFactor: Type.Number({
      exclusiveMinimum: 0,
      maximum: 1_000,
      default: 1,
      description: 'Watts that one unit of wattsOid stands for',
    }),
    onAboveWatts: OnAboveWatts,
    allowSleep: Type.Boolean({
      default: false,
      description: 'true: sleep cuts the outlet, hard, and with it the BMC',
    }),
    cycle: Type.Boolean({
      default: false,
      description:
        'true: to wake a machine whose outlet is on, but which draws less than onAboveWatts, cuts it first',
    }),
    cycleOffMs: durationMs(10_000, 'How long such a cut lasts'),
    requestTimeoutMs: durationMs(5_000, 'One exchange, its repetitions included'),
    ...ladderSettings,
  },
  { description: 'An outlet of a PDU by SNMP; the last rung' },
);

/** How one machine is switched; `driver` tells which. */
export const PowerMethodSchema = Type.Union([
  RedfishMethodSchema,
  IpmiMethodSchema,
  WolMethodSchema,
  SshMethodSchema,
  ExecMethodSchema,
  HttpMethodSchema,
  PduMethodSchema,
  AgentMethodSchema,
]);

export const EnergyModelSchema = settings(
  {
    offWatts: Type.Number({ minimum: 0, default: 10, description: 'Asleep: what the BMC draws' }),
    idleWatts: Type.Number({ minimum: 0, default: 140, description: 'On, without requests' }),
    busyWatts: Type.Number({ minimum: 0, default: 200, description: 'On, at its capacity' }),
    setupWatts: Type.Number({ minimum: 0, default: 200, description: 'From the wake to ready' }),
    setupTimeMs: durationMs(260_000, 'From the wake to ready, until it is learned'),
  },
  'Watts of a machine, for break-even time and for what no meter measures',
);
