import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type ProblemCode, ProblemError, problemOf } from '../../libs/runtime/errors.ts';
import type { Access, Session } from './access.ts';
import { type Asset, type Assets, encodingFor } from './assets.ts';

const gzipped = promisify(gzip);
/** Answers below this are not worth compressing. */
const compressFromBytes = 1_024;
const maxBodyBytes = 64 * 1_024;
const yearSeconds = 31_536_000;

/** Nothing but the console's own files runs or is framed; uPlot sets sizes by style attributes of the DOM, which is no inline style. */
const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
};

export interface HttpOptions {
  readonly assets: Assets;
  readonly access: Access;
  readonly onFailure: (error: unknown) => void;
}

/** The session of whoever asks. @throws ProblemError without one. */
export type NeedSession = (request: FastifyRequest) => Session;

/** The console's HTTP server with its page, security headers, errors and login; the API is added by its parts. */
export function createHttp(options: HttpOptions): { app: FastifyInstance; needSession: NeedSession } {
  const { assets, access } = options;
  const app = fastify({
    bodyLimit: maxBodyBytes,
    forceCloseConnections: true,
    requestTimeout: 30_000,
    routerOptions: { maxParamLength: 200 },
  });
  // JSON is all that is taken: what a form of another site can send is not.
  app.removeContentTypeParser('text/plain');
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(securityHeaders);
    access.checkHost(request.raw);
  });
  app.addHook('onSend', async (request, reply, payload) => compressed(request.raw, reply, payload));
  app.setErrorHandler((error, _request, reply) => sendProblem(reply, problemFrom(error, options.onFailure)));
  app.setNotFoundHandler((_request, reply) =>
    sendProblem(reply, new ProblemError('NEMURI_NOT_FOUND', 'no such page or call')),
  );

  app.get('/', async (request, reply) => {
    reply.header('cache-control', 'no-cache').header('etag', assets.pageTag);
    if (request.headers['if-none-match'] === assets.pageTag) return reply.code(304).send();
    return sendAsset(request.raw, reply, assets.page);
  });
  app.get<{ Params: { version: string; name: string } }>('/assets/:version/:name', async (request, reply) => {
    const asset = assets.files.get(request.params.name);
    if (!asset || request.params.version !== assets.version)
      throw new ProblemError('NEMURI_NOT_FOUND', 'no such file in this version of the page');
    reply.header('cache-control', `public, max-age=${yearSeconds}, immutable`);
    return sendAsset(request.raw, reply, asset);
  });
  app.get('/favicon.ico', async (_request, reply) => reply.code(204).send());

  const needSession: NeedSession = (request) => {
    const session = access.sessionOf(request.raw);
    if (session) return session;
    throw new ProblemError('NEMURI_LOGIN_REQUIRED', 'log in with the token of this console');
  };
  return { app, needSession };
}

function sendAsset(request: IncomingMessage, reply: FastifyReply, { type, bodies }: Asset): FastifyReply {
  const encoding = encodingFor(request.headers['accept-encoding']);
  reply.type(type).header('vary', 'accept-encoding');
  if (encoding !== 'identity') reply.header('content-encoding', encoding);
  return reply.send(bodies[encoding]);
}

/** Answers of the API, which are text, compressed where it pays. */
async function compressed(request: IncomingMessage, reply: FastifyReply, payload: unknown): Promise<unknown> {
  const isWorth = typeof payload === 'string' && payload.length >= compressFromBytes;
  if (!isWorth || encodingFor(request.headers['accept-encoding']) === 'identity') return payload;
  const body = await gzipped(payload, { level: 5 });
  reply
    .header('content-encoding', 'gzip')
    .header('vary', 'accept-encoding')
    .header('content-length', body.length);
  return body;
}

function sendProblem(reply: FastifyReply, { problem, retryAfterSeconds }: ProblemError): FastifyReply {
  if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds);
  return reply
    .code(problem.status)
    .header('cache-control', 'no-store')
    .type('application/problem+json')
    .send(JSON.stringify(problem));
}

const problemOfStatus: Readonly<Record<number, ProblemCode>> = {
  400: 'NEMURI_INVALID',
  413: 'NEMURI_BODY_TOO_LARGE',
  415: 'NEMURI_MEDIA_TYPE',
};

/** Errors of the framework keep their meaning; any other is ours, is reported, and says nothing outside. */
function problemFrom(error: unknown, onFailure: (error: unknown) => void): ProblemError {
  if (error instanceof ProblemError) return error;
  const { statusCode, message } = error as { statusCode?: number; message?: string };
  const code = problemOfStatus[statusCode ?? 500];
  if (code) return new ProblemError(code, message ?? problemOf(code, '').title);
  onFailure(error);
  return new ProblemError('NEMURI_FAILED', 'its log says why');
}
