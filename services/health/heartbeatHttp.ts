import { createHash, timingSafeEqual } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import { serverViewOf } from '../../libs/domain/mod.ts';
import { catalog } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import { resolveSecret } from '../../libs/runtime/secrets.ts';
import type { ServiceContext } from '../../libs/runtime/service.ts';

const maxBodyBytes = 4 * 1024;
const requestTimeoutMs = 5_000;
const publishTimeoutMs = 2_000;
/** A rotated token is seen after so long; meanwhile its file is not read for every heartbeat. */
const tokenCacheMs = 5_000;

/** What a server may say in the body; all of it may be left out. */
const { bootId, wish, weightPercent, maxInFlight, load1, uptimeMs, powerWatts, heartbeat } =
  catalog.HeartbeatSent.schema.properties;
const BodySchema = Type.Object(
  {
    bootId,
    heartbeat,
    wish: Type.Optional(wish),
    weightPercent,
    maxInFlight,
    shuttingDown: Type.Optional(Type.Boolean()),
    load1,
    uptimeMs,
    powerWatts,
  },
  { additionalProperties: false },
);
const body = TypeCompiler.Compile(BodySchema);

export interface HeartbeatHttpOptions extends Pick<ServiceContext, 'bus' | 'log' | 'nowMs'> {
  readonly view: FleetView;
  readonly listen: { readonly host: string; readonly port: number };
  readonly readSecret?: (reference: string) => Promise<string>;
}

export interface HeartbeatHttp {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * `POST /v1/heartbeat/<server>` with `Authorization: Bearer <token>`: the heartbeat of a server without the agent.
 * 204; 400 body, 401 token, 413 size, 429 rate, 503 the bus is lost.
 * @throws Error when the address is not free.
 */
export async function listenForHeartbeats(options: HeartbeatHttpOptions): Promise<HeartbeatHttp> {
  const { view, nowMs, log, bus, listen } = options;
  const checkToken = createTokenCheck(options);
  const sentMs = new Map<string, number[]>();
  const app: FastifyInstance = fastify({
    bodyLimit: maxBodyBytes,
    requestTimeout: requestTimeoutMs,
    connectionTimeout: requestTimeoutMs,
    forceCloseConnections: true,
  });
  app.setErrorHandler((error: { statusCode?: number }, _request, reply) => {
    const status = error.statusCode ?? 500;
    return refuse(reply, status, status < 500 ? messageOf(error, 200) : 'internal error');
  });
  app.post<{ Params: { server: string } }>('/v1/heartbeat/:server', async (request, reply) => {
    const { server } = request.params;
    if (!(await checkToken(server, request.headers.authorization))) {
      return refuse(reply.header('www-authenticate', 'Bearer'), 401, 'no such server, or not its token');
    }
    const waitMs = tooSoonMs(sentMs, server, view, nowMs());
    if (waitMs > 0) {
      return refuse(
        reply.header('retry-after', String(Math.ceil(waitMs / 1_000))),
        429,
        'too many heartbeats',
      );
    }
    const said = request.body ?? {};
    if (!body.Check(said)) {
      const first = body.Errors(said).First();
      return refuse(reply, 400, `${first?.path || 'body'}: ${first?.message ?? 'not a heartbeat'}`);
    }
    try {
      await publishHeartbeat(options, server, said);
    } catch (error) {
      log.warn({ server, error: messageOf(error) }, 'heartbeat by HTTP not stored');
      return refuse(reply, 503, 'the bus is lost');
    }
    return reply.code(204).send();
  });
  // Of servers that are gone nothing is kept.
  const forget = view.onChange((event) => {
    if (event.type !== 'FleetConfigured') return;
    for (const server of sentMs.keys()) if (!serverViewOf(view.fleet, server)) sentMs.delete(server);
  });
  const url = await app.listen({ host: listen.host, port: listen.port });
  log.info({ url, bus: bus.lostSinceMs === undefined }, 'heartbeats by HTTP');
  return {
    url,
    async close() {
      forget();
      await app.close();
    },
  };
}

function refuse(reply: FastifyReply, status: number, detail: string): FastifyReply {
  return reply.code(status).type('application/problem+json').send({ status, detail });
}

/** How long until this server may say something again; 0: now, and it is counted. */
function tooSoonMs(sentMs: Map<string, number[]>, server: string, view: FleetView, nowMs: number): number {
  const limit = view.fleet.config?.bounds.maxHeartbeatsPerMinute ?? 0;
  const recent = (sentMs.get(server) ?? []).filter((timeMs) => nowMs - timeMs < 60_000);
  sentMs.set(server, recent);
  const [oldest = nowMs] = recent;
  if (recent.length >= limit) return Math.max(1, oldest + 60_000 - nowMs);
  recent.push(nowMs);
  return 0;
}

/** Compares hashes in constant time; an unknown server takes as long as a wrong token. */
function createTokenCheck({ view, nowMs, log, readSecret = resolveSecret }: HeartbeatHttpOptions) {
  const known = new Map<string, { readonly hash: Buffer; readonly readMs: number }>();
  const nobody = createHash('sha256').update('no token').digest();

  const hashOf = async (server: string): Promise<Buffer | undefined> => {
    const reference = serverViewOf(view.fleet, server)?.config.heartbeat.token;
    if (reference === undefined) return undefined;
    const cached = known.get(reference);
    if (cached && Math.abs(nowMs() - cached.readMs) < tokenCacheMs) return cached.hash;
    try {
      const hash = createHash('sha256')
        .update(await readSecret(reference))
        .digest();
      known.set(reference, { hash, readMs: nowMs() });
      return hash;
    } catch (error) {
      known.delete(reference);
      log.warn({ server, error: messageOf(error) }, 'token of a heartbeat not readable');
      return undefined;
    }
  };
  return async (server: string, authorization: string | undefined): Promise<boolean> => {
    const [, token = ''] = /^Bearer ([^\s]{1,4096})$/i.exec(authorization ?? '') ?? [];
    const wanted = await hashOf(server);
    const same = timingSafeEqual(createHash('sha256').update(token).digest(), wanted ?? nobody);
    return same && wanted !== undefined && token !== '';
  };
}

/** On behalf of a server that has no agent: also what its agent would say of its shutdown. */
async function publishHeartbeat(
  { bus, view }: HeartbeatHttpOptions,
  server: string,
  said: Static<typeof BodySchema>,
): Promise<void> {
  const state = serverViewOf(view.fleet, server)?.state;
  if (!state) return;
  const { wish: wished = 'ready', shuttingDown = false, ...rest } = said;
  const about = { server, pool: state.pool };
  if (shuttingDown && state.shutdownAnnouncedAtMs === undefined) {
    const boot = said.bootId === undefined ? {} : { bootId: said.bootId };
    const data = { ...about, ...boot, reason: 'it says so by HTTP' };
    await bus.publish({ type: 'ServerShutdownAnnounced', data }, { timeoutMs: publishTimeoutMs });
  }
  const data = { ...about, via: 'http' as const, wish: wished, shuttingDown, ...rest, unreachable: [] };
  await bus.publish({ type: 'HeartbeatSent', data }, { timeoutMs: publishTimeoutMs });
}
