import fastify, { type FastifyInstance } from 'fastify';
import { messageOf, ProblemError } from '../../libs/runtime/errors.ts';
import { parsed } from './parsed.ts';
import { OtlpTracesSchema, type TraceStore } from './traces.ts';

const maxBodyBytes = 4 * 1_024 * 1_024;

/**
 * The OTLP/HTTP receiver for traces, on an address of its own: who may send spans may not see the console.
 * @throws Error naming the variable when the address is not free.
 */
export async function startOtlp(
  { host, port }: { readonly host: string; readonly port: number },
  traces: TraceStore,
): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const app: FastifyInstance = fastify({
    bodyLimit: maxBodyBytes,
    forceCloseConnections: true,
    requestTimeout: 30_000,
  });
  app.removeContentTypeParser('text/plain');
  app.setErrorHandler((error: { statusCode?: number; message: string }, _request, reply) => {
    const status = error instanceof ProblemError ? error.problem.status : (error.statusCode ?? 500);
    return reply.code(status).send({ code: status, message: messageOf(error) });
  });
  app.post('/v1/traces', async (request) => {
    traces.add(parsed(OtlpTracesSchema, request.body));
    return {};
  });
  await app.listen({ host, port }).catch((error) => {
    throw new Error(
      `NEMURI_OTLP_LISTEN must be an address that is free (got ${host}:${port}: ${messageOf(error)})`,
    );
  });
  const address = app.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    stop: () => app.close(),
  };
}
