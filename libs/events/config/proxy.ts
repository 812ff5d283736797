import { Type } from '@sinclair/typebox';
import { durationMs, settings, strictObject } from './shared.ts';

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
    maxRequests: Type.Integer({ minimum: 0, maximum: 1_000_000, default: 1_000 }),
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
  },
  'Which server gets the next request',
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
    keepAliveTimeoutMs: durationMs(10_000, 'An idle connection of a client is closed after this'),
    maxConnections: Type.Integer({
      minimum: 1,
      maximum: 10_000_000,
      default: 100_000,
      description: 'Connections of clients to one worker; more are closed at once',
    }),
  },
  'The side of the clients',
);

export const RouteSchema = strictObject({
  host: Type.Optional(Type.String({ minLength: 1, description: 'Host name without port; left out: any' })),
  pathPrefix: Type.String({ pattern: '^/', default: '/' }),
});
