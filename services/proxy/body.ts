import type { IncomingMessage } from 'node:http';
import { ProblemError } from '../../libs/runtime/errors.ts';

/** A request's body as it can be sent on. */
export interface RequestBody {
  /** What one attempt sends: all of it, or its parts as they come; null: none. */
  readonly content: Buffer | (() => AsyncIterable<Buffer>) | null;
  /** All that came of it is held: another attempt can send it again. */
  readonly replayable: boolean;
  readonly bytesHeld: number;
  /** It is the client's turn: the next part has not come. A silence is not the server's then. */
  readonly awaited: boolean;
  /** The trailer fields as they are sent, each with its CRLF; to be asked when the content has ended. */
  readonly trailers: () => string;
}

export interface BodyBounds {
  readonly retryBufferBytes: number;
  readonly maxBodyBytes: number;
}

export const noBody: RequestBody = {
  content: null,
  replayable: true,
  bytesHeld: 0,
  awaited: false,
  trailers: () => '',
};

/**
 * A short body whose length is known is waited for. Any other streams to the server as it comes: its client may wait
 * for an answer before it sends more. Of that one the first `retryBufferBytes` are held, so that it can be sent again
 * for as long as it has not grown longer.
 * @param announcedBytes by `Content-Length`.
 * @throws ProblemError 413 when it is, or says it will be, longer than `maxBodyBytes`; Error when the client breaks off.
 */
export async function readBody(
  request: IncomingMessage,
  announcedBytes: number | undefined,
  bounds: BodyBounds,
): Promise<RequestBody> {
  if ((announcedBytes ?? 0) > bounds.maxBodyBytes) throw tooLarge(bounds.maxBodyBytes);
  const trailers = () => trailerLines(request.rawTrailers);
  const parts: AsyncIterator<Buffer> = request.iterator({ destroyOnReturn: false });
  if (announcedBytes === undefined || announcedBytes > bounds.retryBufferBytes) {
    return streamed(parts, bounds, trailers);
  }
  const chunks: Buffer[] = [];
  for (let part = await parts.next(); !part.done; part = await parts.next()) chunks.push(part.value);
  const content = Buffer.concat(chunks);
  return { content, replayable: true, bytesHeld: content.length, awaited: false, trailers };
}

function streamed(
  parts: AsyncIterator<Buffer>,
  { retryBufferBytes, maxBodyBytes }: BodyBounds,
  trailers: () => string,
): RequestBody {
  let held: Buffer[] = [];
  let total = 0;
  let ended = false;
  /** An attempt that was given up may still wait for a part: the next one waits for the same. */
  let coming: Promise<Buffer | undefined> | undefined;

  const pull = async (): Promise<Buffer | undefined> => {
    const { value, done } = await parts.next();
    coming = undefined;
    if (done) {
      ended = true;
      return undefined;
    }
    total += value.length;
    if (total > maxBodyBytes) throw tooLarge(maxBodyBytes);
    if (total <= retryBufferBytes) held.push(value);
    else held = [];
    return value;
  };
  async function* content(): AsyncGenerator<Buffer> {
    for (let index = 0; index < held.length; index += 1) yield held[index] as Buffer;
    while (!ended) {
      coming ??= pull();
      const part = await coming;
      if (part) yield part;
    }
  }
  return {
    content,
    get replayable() {
      return total <= retryBufferBytes;
    },
    get bytesHeld() {
      return total <= retryBufferBytes ? total : 0;
    },
    get awaited() {
      return coming !== undefined;
    },
    trailers,
  };
}

/** What ends a request whose client has stopped sending it. */
export function bodyTimeout(): ProblemError {
  return new ProblemError('NEMURI_REQUEST_TIMEOUT', 'The rest of the body did not come.');
}

function trailerLines(raw: readonly string[]): string {
  let lines = '';
  for (let index = 0; index + 1 < raw.length; index += 2) lines += `${raw[index]}: ${raw[index + 1]}\r\n`;
  return lines;
}

function tooLarge(maxBytes: number): ProblemError {
  return new ProblemError('NEMURI_BODY_TOO_LARGE', `At most ${maxBytes} bytes.`);
}
