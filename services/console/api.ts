import { type Static, Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { Bus } from '../../libs/bus/mod.ts';
import {
  type Fleet,
  poolFact,
  poolHandRefusal,
  poolVerbs,
  serverFact,
  serverHandRefusal,
  serverVerbs,
} from '../../libs/domain/mod.ts';
import { type EventDraft, NamePattern } from '../../libs/events/mod.ts';
import { messageOf, ProblemError } from '../../libs/runtime/errors.ts';
import type { Access } from './access.ts';
import type { NeedSession } from './http.ts';
import { type Live, maxViewers } from './live.ts';
import { parsed } from './parsed.ts';

export interface ApiOptions {
  readonly app: FastifyInstance;
  readonly access: Access;
  readonly needSession: NeedSession;
  readonly live: Live;
  readonly bus: Bus;
  readonly fleet: () => Fleet;
  readonly jaegerUrl: string | undefined;
  readonly nowMs: () => number;
}

const Who = Type.String({ minLength: 1, maxLength: 128, pattern: '\\S' });
const LoginSchema = Type.Object(
  { token: Type.String({ minLength: 1, maxLength: 4_096 }), who: Type.Optional(Who) },
  { additionalProperties: false },
);
const said = {
  reason: Type.String({ minLength: 1, maxLength: 2_000, pattern: '\\S' }),
  /** Who acts; whoever is logged in by name is that one. */
  by: Type.Optional(Who),
};
const Name = Type.String({ pattern: NamePattern });
const ActionSchema = Type.Union([
  Type.Object(
    {
      verb: Type.Union(serverVerbs.map((verb) => Type.Literal(verb))),
      server: Name,
      /** How long an order or a cordon holds. */
      forMs: Type.Optional(Type.Integer({ minimum: 60_000, maximum: 30 * 86_400_000 })),
      ...said,
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      verb: Type.Union(poolVerbs.map((verb) => Type.Literal(verb))),
      pool: Name,
      servers: Type.Optional(Type.Integer({ minimum: 0, maximum: 100_000 })),
      ...said,
    },
    { additionalProperties: false },
  ),
]);
const publishTimeoutMs = 5_000;
const nobody = 'console';

/** Login, the live stream and the operator's actions. */
export function addApi(options: ApiOptions): void {
  const { app, access, needSession, live, nowMs } = options;

  app.get('/api/session', async (request, reply) => {
    const session = access.sessionOf(request.raw);
    reply.header('cache-control', 'no-store');
    return {
      loginRequired: access.loginRequired,
      loggedIn: session !== undefined,
      who: session?.who,
      jaegerUrl: session ? options.jaegerUrl : undefined,
    };
  });
  app.post('/api/session', async (request, reply) => {
    access.checkOrigin(request.raw);
    const { token, who } = parsed(LoginSchema, request.body);
    reply.header('set-cookie', await access.login(request.raw, token, who?.trim()));
    return { loggedIn: true, who };
  });
  app.delete('/api/session', async (request, reply) => {
    access.checkOrigin(request.raw);
    reply.header('set-cookie', access.logout(request.raw));
    return { loggedIn: false };
  });

  app.get<{ Querystring: { after?: string } }>('/api/live', (request, reply) => {
    needSession(request);
    if (live.viewers >= maxViewers)
      throw new ProblemError('NEMURI_TOO_MANY_VIEWERS', `at most ${maxViewers}`, 10);
    reply.hijack();
    // Headers set on the reply so far are not sent by a hijacked one.
    for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value ?? '');
    reply.raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    live.join(reply.raw, request.headers['last-event-id']?.toString());
  });

  app.post('/api/actions', async (request) => {
    const session = needSession(request);
    access.checkOrigin(request.raw);
    access.countAction(request.raw);
    const action = parsed(ActionSchema, request.body);
    const by = session.who ?? action.by?.trim() ?? nobody;
    const draft = factOf(action, by, options.fleet(), nowMs());
    const { sequence } = await options.bus.publish(draft, { timeoutMs: publishTimeoutMs }).catch((error) => {
      throw new ProblemError(
        'NEMURI_BUS_LOST',
        `${draft.type} may not be in the history: ${messageOf(error)}`,
      );
    });
    return { type: draft.type, sequence, by };
  });
}

function factOf(action: Static<typeof ActionSchema>, by: string, fleet: Fleet, nowMs: number): EventDraft {
  const reason = action.reason.trim();
  const refusal =
    'server' in action
      ? serverHandRefusal(fleet, action.verb, action.server)
      : poolHandRefusal(fleet, action.pool);
  if (refusal !== undefined) throw new ProblemError('NEMURI_CAN_NOT_BE_DONE', refusal);
  if ('server' in action) {
    return serverFact(action.verb, action.server, { reason, by }, { nowMs, forMs: action.forMs });
  }
  if (action.verb === 'pin' && action.servers === undefined)
    throw new ProblemError('NEMURI_INVALID', '/servers: how many servers shall stay awake');
  return poolFact(action.verb, action.pool, { reason, by }, action.servers);
}
