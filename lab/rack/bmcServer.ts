import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { Readable } from 'node:stream';
import { type Answer, errorAnswer } from './answer.ts';
import { type Bmc, requestKind } from './bmc.ts';
import { answerFaults, type FaultOf, type FaultTable } from './faults.ts';

/** One request that reached a BMC, as its log keeps it. `status` 0: it got no answer. */
export interface BmcLogEntry {
  readonly timeMs: number;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly traceparent: string | undefined;
}

export interface BmcServer {
  readonly server: Server;
  /** The newest 1,000 requests, oldest first. */
  requests(): readonly BmcLogEntry[];
  /** What it shows from now on; its connections are cut, so that everyone looks at it anew. */
  setCertificate(tls: Tls): void;
  close(): Promise<void>;
}

interface Tls {
  readonly certPem: string;
  readonly keyPem: string;
}

const maxRequestBytes = 64 * 1024;
const maxLogEntries = 1_000;
const maxHugeBytes = 256 * 1024 * 1024;
const hugeChunkBytes = 64 * 1024;

/** The request's body; undefined as soon as it is larger than allowed. Rejects when the client goes away. */
function readBody(request: IncomingMessage): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes <= maxRequestBytes) chunks.push(chunk);
      else resolve(undefined);
    });
    request.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    request.once('error', reject);
  });
}

function send(response: ServerResponse, answer: Answer): number {
  const isText = typeof answer.body === 'string';
  const text = isText
    ? (answer.body as string)
    : answer.body === undefined
      ? ''
      : JSON.stringify(answer.body);
  const hasBody = text !== '' && answer.status !== 204 && answer.status !== 304;
  response.writeHead(answer.status, {
    'odata-version': '4.0',
    'cache-control': 'no-cache',
    ...(hasBody
      ? { 'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(text) }
      : answer.status === 204 || answer.status === 304
        ? {}
        : { 'content-length': 0 }),
    ...answer.headers,
  });
  response.end(hasBody && response.req.method !== 'HEAD' ? text : undefined);
  return answer.status;
}

function* hugeDocument(bytes: number): Generator<string> {
  yield '{"Name":"';
  for (let sent = 0; sent < Math.min(bytes, maxHugeBytes); sent += hugeChunkBytes)
    yield 'x'.repeat(hugeChunkBytes);
  yield '"}';
}

/** Plays a fault; returns the status it answered, 0 when it did not. */
function sendFault(response: ServerResponse, fault: FaultOf<(typeof answerFaults)[number]>): number {
  switch (fault.kind) {
    case 'hang':
      return 0;
    case 'resetConnection':
      response.destroy();
      return 0;
    case 'status': {
      const { status, retryAfterSeconds } = fault;
      const headers = retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) };
      return send(response, { status, headers });
    }
    case 'malformedJson':
      return send(response, { status: 200, body: '{"@odata.id": "/redfish/v1' });
    case 'hugeBody':
      response.writeHead(200, { 'content-type': 'application/json' });
      Readable.from(hugeDocument(fault.bytes)).pipe(response);
      return 200;
  }
}

/**
 * Puts a BMC behind HTTPS: bodies bounded to 64 KiB, a log of what came, and the faults of whole answers.
 * The server is not listening yet.
 */
export function createBmcServer(bmc: Bmc, faults: FaultTable, tls: Tls, clock: () => number): BmcServer {
  const log: { -readonly [K in keyof BmcLogEntry]: BmcLogEntry[K] }[] = [];
  const note = (request: IncomingMessage, path: string) => {
    const { traceparent } = request.headers;
    const entry = {
      timeMs: clock(),
      method: request.method ?? '',
      path,
      status: 0,
      traceparent: typeof traceparent === 'string' ? traceparent : undefined,
    };
    log.push(entry);
    if (log.length > maxLogEntries) log.shift();
    return entry;
  };
  const answer = async (
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
  ): Promise<number> => {
    const method = request.method ?? 'GET';
    const body = await readBody(request);
    const fault = faults.take(answerFaults, requestKind(method, path));
    if (fault) return sendFault(response, fault);
    if (body === undefined)
      return send(response, errorAnswer('PayloadTooLarge', [], { connection: 'close' }));
    return send(response, bmc.handle({ method, path, headers: request.headers, body }));
  };

  const server = createServer({ cert: tls.certPem, key: tls.keyPem }, (request, response) => {
    const path = (request.url ?? '/').replace(/[?#].*$/, '').replace(/\/+$/, '');
    const entry = note(request, path);
    answer(request, response, path).then(
      (status) => {
        entry.status = status;
      },
      () => response.destroy(),
    );
  });
  // A client that speaks no TLS, or trusts nobody, is the client's trouble.
  server.on('tlsClientError', () => undefined);
  return {
    server,
    requests: () => log.map((entry) => ({ ...entry })),
    setCertificate({ certPem, keyPem }) {
      server.setSecureContext({ cert: certPem, key: keyPem });
      server.closeAllConnections();
    },
    async close() {
      bmc.close();
      if (!server.listening) return;
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}
