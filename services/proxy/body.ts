import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { ProblemError } from '../../libs/runtime/errors.ts';
import { hasBody } from './headers.ts';

/** A request's body as it can be sent on. */
export interface RequestBody {
  /** What one attempt sends; null: none. A stream can be taken once only. */
  readonly content: Buffer | Readable | null;
  /** The whole body is held: another attempt can send it again. */
  readonly replayable: boolean;
  readonly bytesHeld: number;
}

const noBody: RequestBody = { content: null, replayable: true, bytesHeld: 0 };

/**
 * Reads up to `bufferBytes` of the body. One that ends within them can be sent again to another server; a longer one
 * streams through, what was read first.
 * @throws ProblemError 413 when it is, or says it will be, longer than `maxBytes`; Error when the client breaks off.
 */
export async function readBody(
  request: IncomingMessage,
  bounds: { readonly retryBufferBytes: number; readonly maxBodyBytes: number },
): Promise<RequestBody> {
  if (!hasBody(request)) return noBody;
  if (Number(request.headers['content-length'] ?? 0) > bounds.maxBodyBytes)
    throw tooLarge(bounds.maxBodyBytes);
  const chunks: Buffer[] = [];
  let bytesHeld = 0;
  const parts: AsyncIterator<Buffer> = request.iterator({ destroyOnReturn: false });
  while (bytesHeld <= bounds.retryBufferBytes) {
    const { value, done } = await parts.next();
    if (done) return { content: Buffer.concat(chunks), replayable: true, bytesHeld };
    chunks.push(value);
    bytesHeld += value.length;
    if (bytesHeld > bounds.maxBodyBytes) throw tooLarge(bounds.maxBodyBytes);
  }
  const content = Readable.from(restOf(chunks, parts, bounds.maxBodyBytes), { objectMode: false });
  return { content, replayable: false, bytesHeld };
}

async function* restOf(
  first: Buffer[],
  rest: AsyncIterator<Buffer>,
  maxBytes: number,
): AsyncGenerator<Buffer> {
  let total = 0;
  for (const chunk of first) {
    total += chunk.length;
    yield chunk;
  }
  for (let part = await rest.next(); !part.done; part = await rest.next()) {
    total += part.value.length;
    if (total > maxBytes) throw tooLarge(maxBytes);
    yield part.value;
  }
}

function tooLarge(maxBytes: number): ProblemError {
  return new ProblemError('NEMURI_BODY_TOO_LARGE', `At most ${maxBytes} bytes.`);
}
