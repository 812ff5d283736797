import { Type } from '@sinclair/typebox';
import { durationMs, serverTls, settings, strictObject } from './shared.ts';

const knownMonitors = [
  'bot/',
  'bot;',
  'crawler',
  'spider',
  'slurp',
  'uptimerobot',
  'pingdom',
  'statuscake',
  'kube-probe',
  'elb-healthchecker',
  'googlehc',
  'blackbox',
  'prometheus',
];

export const ParkingSchema = settings(
  {
    maxRequests: Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      default: 1_000,
      description: 'Requests that wait at once; more get 503',
    }),
    maxBytes: Type.Integer({
      minimum: 0,
      default: 64 * 1024 * 1024,
      description: 'Headers and buffered bodies of all parked requests',
    }),
    maxWaitMs: durationMs(300_000, 'After that a parked request is answered 503'),
    waitingPage: Type.Boolean({
      default: false,
      description:
        'A browser that asks for a page of a sleeping pool gets one that waits, instead of being held',
    }),
    monitors: settings(
      {
        userAgents: Type.Array(Type.String({ minLength: 1 }), {
          default: knownMonitors,
          maxItems: 1_000,
          description: 'Parts of User-Agent, in any case',
        }),
        paths: Type.Array(Type.String({ pattern: '^/' }), {
          default: [],
          maxItems: 1_000,
          description: 'Whole paths, without query',
        }),
      },
      'Requests that never wake a pool: while it sleeps they are answered 503 at once',
    ),
  },
  'Requests held while no ready server can take them',
);

export const ForwardingSchema = settings(
  {
    maxAttempts: Type.Integer({
      minimum: 1,
      maximum: 10,
      default: 3,
      description: 'Servers tried for one request',
    }),
    protocol: Type.Union([Type.Literal('http1'), Type.Literal('http2')], {
      default: 'http1',
      description:
        'What the servers are spoken to; http2 for gRPC (by TLS and ALPN when the url is https, else h2c)',
    }),
    ...serverTls,
    connectTimeoutMs: durationMs(2_000, 'TCP connect to a server'),
    responseTimeoutMs: durationMs(60_000, 'From the request to the response headers'),
    idleTimeoutMs: durationMs(60_000, 'Silence between two parts of a response body'),
    maxHeaderBytes: Type.Integer({
      minimum: 1_024,
      maximum: 1_048_576,
      default: 65_536,
      description: "The header section of a server's answer; more is an error of the server",
    }),
    maxHeaders: Type.Integer({
      minimum: 10,
      maximum: 2_000,
      default: 200,
      description: "Header fields of a server's answer",
    }),
    keepAliveTimeoutMs: durationMs(
      4_000,
      'An idle connection to a server is closed after this: below the 5 s of common servers, so that none is used as it closes',
    ),
    ejectMs: durationMs(5_000, 'A server that refused or reset a connection gets no new requests this long'),
    retryBufferBytes: Type.Integer({
      minimum: 0,
      default: 65_536,
      description: 'Bodies up to this size can be sent twice',
    }),
    maxBodyBytes: Type.Integer({
      minimum: 0,
      default: 1_073_741_824,
      description: 'Larger request bodies get 413',
    }),
  },
  'How requests are carried to servers',
);

export const BalancingSchema = settings(
  {
    policy: Type.Union(
      [
        Type.Literal('leastLoaded'),
        Type.Literal('powerOfTwo'),
        Type.Literal('roundRobin'),
        Type.Literal('hash'),
        Type.Literal('pack'),
      ],
      {
        default: 'leastLoaded',
        description: 'leastLoaded is by capacity; pack fills the most efficient server to its target first',
      },
    ),
    hashBy: Type.Union([Type.Literal('path'), Type.Literal('header'), Type.Literal('cookie')], {
      default: 'path',
      description: 'hash: what of a request chooses its server',
    }),
    hashName: Type.String({ default: '', maxLength: 200, description: 'hash: the header or cookie' }),
    packTarget: Type.Number({
      exclusiveMinimum: 0,
      maximum: 1,
      default: 0.8,
      description: 'pack: share of its capacity to which a server is filled',
    }),
    slowStartMs: durationMs(10_000, 'A server that returns gets its full weight after this', 0),
    retryShare: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0.2,
      description: 'Retries of what a server may have seen, as a share of the requests',
    }),
    sticky: settings(
      {
        cookie: Type.String({
          pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]*$",
          maxLength: 100,
          default: '',
          description: 'Its name; empty: none is set',
        }),
        maxAgeSeconds: Type.Integer({
          minimum: 0,
          maximum: 31_536_000,
          default: 0,
          description: '0: until the browser ends',
        }),
      },
      'A cookie that keeps a client on its server for as long as that one takes requests; then it moves',
    ),
  },
  'Which server gets the next request',
);

export const CircuitSchema = settings(
  {
    maxConnections: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      default: 10_000,
      description: 'Connections of one worker to one server; with http2: streams. More requests are parked',
    }),
    maxPending: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      default: 1_024,
      description: 'Requests that wait for a connection to one server to come about; more go elsewhere',
    }),
    maxRetries: Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      default: 100,
      description: 'Retries of a pool under way at once, beside the budget of retryShare',
    }),
    ejectAfterFailures: Type.Integer({
      minimum: 0,
      maximum: 1_000,
      default: 5,
      description:
        'Failures in a row (502, 503, 504, no answer, time-out) that eject a server for ejectMs; one time-out is enough when it answered nothing meanwhile; 0: never',
    }),
    maxEjectedShare: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0.5,
      description: 'Of the servers that could take requests, at most this share is ejected for failures',
    }),
    lastServerRetryMs: durationMs(
      250,
      'When all are ejected, the last one is tried again after this: an ejection never empties a pool',
    ),
  },
  'When a server is given nothing more for a while, so that its trouble does not spread',
);

/** What holds for the proxy as a whole, before a request has a pool. */
export const ProxySchema = settings(
  {
    allowedHosts: Type.Array(
      Type.String({
        pattern: '^(\\*\\.)?[A-Za-z0-9._:\\[\\]-]+$',
        description: 'Host name without port, or *.domain',
      }),
      { default: [], maxItems: 10_000, description: 'Other hosts get 421; empty: any host' },
    ),
    trustedProxies: Type.Array(
      Type.String({ pattern: '^[0-9A-Fa-f.:]+(/\\d{1,3})?$', description: 'Address or CIDR range' }),
      {
        default: [],
        maxItems: 1_000,
        description: 'Whose X-Forwarded-* and Forwarded are extended; from anyone else they are replaced',
      },
    ),
    forwardedHeader: Type.Boolean({
      default: false,
      description: 'Send Forwarded (RFC 7239) beside X-Forwarded-*',
    }),
    headerTimeoutMs: durationMs(10_000, 'A client gets this long for the header section of a request'),
    requestTimeoutMs: durationMs(300_000, 'A client gets this long for a whole request, body included'),
    keepAliveTimeoutMs: durationMs(
      10_000,
      'An idle connection of a client is kept this long, and a worker that ends waits as long for those it has; a load balancer in front wants more than its own',
    ),
    maxConnections: Type.Integer({
      minimum: 1,
      maximum: 10_000_000,
      default: 100_000,
      description:
        'Connections of clients to one worker on each port, or what the limit of open files allows; more are closed at once',
    }),
    lingerMs: durationMs(
      10_000,
      'When the proxy ends a connection, what its client still sends is thrown away for this long, so that the last answer is not lost',
    ),
    lingerBytes: Type.Integer({
      minimum: 0,
      default: 67_108_864,
      description: 'At most so much of it',
    }),
    proxyProtocol: settings(
      {
        http: Type.Boolean({ default: false, description: 'On the plain port' }),
        https: Type.Boolean({ default: false, description: 'On the HTTPS port' }),
      },
      'Ports whose connections begin with a PROXY header (v1 or v2). Only trustedProxies may connect there',
    ),
    redirectToHttps: Type.Boolean({
      default: false,
      description: 'Plain requests get 308 to https, those below /.well-known/acme-challenge/ excepted',
    }),
    httpsPort: Type.Integer({
      minimum: 1,
      maximum: 65_535,
      default: 443,
      description: 'As clients see it, for redirectToHttps',
    }),
    accessLog: settings(
      {
        format: Type.Union([Type.Literal('off'), Type.Literal('json'), Type.Literal('combined')], {
          default: 'off',
          description: 'A line a request: JSON, or the combined format of Apache and nginx',
        }),
        file: Type.String({
          minLength: 1,
          maxLength: 1_000,
          default: '-',
          description: 'Appended to, and opened anew when it was moved away; -: standard output',
        }),
        query: Type.Boolean({ default: false, description: 'With the query, which may hold secrets' }),
      },
      'A line for each request',
    ),
  },
  'The side of the clients',
);

export const RouteSchema = strictObject({
  host: Type.Optional(Type.String({ minLength: 1, description: 'Host name without port; left out: any' })),
  pathPrefix: Type.String({
    pattern: '^/',
    default: '/',
    description: 'Beginning of the path, by whole segments',
  }),
});
