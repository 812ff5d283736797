import type { IncomingMessage } from 'node:http';
import { ProblemError } from '../../libs/runtime/errors.ts';

/** A request's body as it can be sent on. */
export interface RequestBody {
  /** What one attempt sends; null: none. A stream can be taken once only. */
  readonly content: Buffer | AsyncIterable<Buffer> | null;
  /** The whole body is held: another attempt can send it again. */
  readonly replayable: boolean;
  readonly bytesHeld: number;
  /** The trailer fields as they are sent, each with its CRLF; to be asked when the content has ended. */
  readonly trailers: () => string;
}

export interface BodyBounds {
  readonly retryBufferBytes: number;
  readonly maxBodyBytes: number;
}

export const noBody: RequestBody = { content: null, replayable: true, bytesHeld: 0, trailers: () => '' };

/**
 * Reads up to `retryBufferBytes` of the body. One that ends within them can be sent again to another server; a longer
 * one streams through, what was read first.
 * @param announcedBytes by `Content-Length`.
 * @throws ProblemError 413 when it is, or says it will be, longer than `maxBodyBytes`; Error when the client breaks off.
 */
export async function readBody(
  request: IncomingMessage,
  announcedBytes: number | undefined,
  bounds: BodyBounds,
): Promise<RequestBody> {
  if ((announcedBytes ?? 0) > bounds.maxBodyBytes) throw tooLarge(bounds.maxBodyBytes);
  const chunks: Buffer[] = [];
  let bytesHeld = 0;
  const trailers = () => trailerLines(request.rawTrailers);
  const parts: AsyncIterator<Buffer> = request.iterator({ destroyOnReturn: false });
  while (bytesHeld <= bounds.retryBufferBytes) {
    const { value, done } = await parts.next();
    if (done) return { content: Buffer.concat(chunks), replayable: true, bytesHeld, trailers };
    chunks.push(value);
    bytesHeld += value.length;
    if (bytesHeld > bounds.maxBodyBytes) throw tooLarge(bounds.maxBodyBytes);
  }
  const content = restOf(chunks, parts, bounds.maxBodyBytes);
  return { content, replayable: false, bytesHeld, trailers };
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

function trailerLines(raw: readonly string[]): string {
  let lines = '';
  for (let index = 0; index + 1 < raw.length; index += 2) lines += `${raw[index]}: ${raw[index + 1]}\r\n`;
  return lines;
}

function tooLarge(maxBytes: number): ProblemError {
  return new ProblemError('NEMURI_BODY_TOO_LARGE', `At most ${maxBytes} bytes.`);
}
