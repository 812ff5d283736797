import {
  type Framing,
  ProtocolError,
  parseResponseHead,
  parseTrailers,
  type ResponseHead,
} from './responseHead.ts';

/** What a parser tells of one answer, in this order. Chunks are valid during the call only. */
export interface ResponseEvents {
  onInformational(head: ResponseHead): void;
  onHead(head: ResponseHead): void;
  /** @param last this is known to be the end of the body: `onEnd` follows at once. */
  onData(chunk: Buffer, last: boolean): void;
  /** @param trailers names and values in turn. */
  onEnd(trailers: readonly string[]): void;
}

export interface ParserBounds {
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
}

/** Reads the answers on one connection, one at a time. */
export interface ResponseParser {
  /** An answer to this method is expected from now on. */
  begin(method: string, events: ResponseEvents): void;
  /** @throws ProtocolError; the connection is to be destroyed then. */
  push(bytes: Buffer): void;
  /** The server has closed its side. @throws ProtocolError when an answer is not whole. */
  end(): void;
  /** No answer is expected or under way. */
  readonly idle: boolean;
}

type State = 'idle' | 'head' | 'length' | 'close' | 'chunkSize' | 'chunkData' | 'chunkEnd' | 'trailers';

const maxChunkLineBytes = 1_024;
/** 1xx answers to one request: more are an attack or a defect. */
const maxInformational = 16;
const chunkLine = /^([0-9A-Fa-f]{1,12})(?:[\t ]*;[\t\x20-\x7e\x80-\xff]*)?$/;
const noTrailers: readonly string[] = [];
const nothing = Buffer.alloc(0);

/** A strict parser of HTTP/1.1 responses (RFC 9112); see `parseResponseHead` for what it refuses. */
export function createResponseParser({ maxHeaderBytes, maxHeaders }: ParserBounds): ResponseParser {
  let state: State = 'idle';
  let method = '';
  let events: ResponseEvents | undefined;
  /** Bytes of a head, chunk line or trailer section that has not come whole. */
  let partial: Buffer = nothing;
  let left = 0;
  let informational = 0;

  const finish = (trailers: readonly string[]) => {
    const ended = events;
    state = 'idle';
    events = undefined;
    ended?.onEnd(trailers);
  };
  const startBody = (framing: Framing) => {
    if (framing.kind === 'none' || (framing.kind === 'length' && framing.bytes === 0))
      return finish(noTrailers);
    if (framing.kind === 'length') left = framing.bytes;
    state = framing.kind === 'chunked' ? 'chunkSize' : framing.kind;
  };
  /** The bytes up to and with `mark`, with those held before; undefined: they have not come yet. `at` moves on. */
  const takeUntil = (bytes: Buffer, at: number, mark: string, maxBytes: number) => {
    const whole = partial.length > 0 ? Buffer.concat([partial, bytes.subarray(at)]) : bytes;
    const from = partial.length > 0 ? 0 : at;
    const found = whole.indexOf(mark, from, 'latin1');
    const end = found + mark.length;
    if ((found < 0 ? whole.length : end) - from > maxBytes) throw new ProtocolError(`${state} too large`);
    if (found < 0) {
      partial = Buffer.from(whole.subarray(from));
      if (state === 'head' && hasBareLineFeed(partial)) throw new ProtocolError('bare LF');
      return undefined;
    }
    const next = end - partial.length + (partial.length > 0 ? at : 0);
    partial = nothing;
    return { text: whole.toString('latin1', from, end), next };
  };
  const readHead = (bytes: Buffer, at: number): number => {
    const taken = takeUntil(bytes, at, '\r\n\r\n', maxHeaderBytes);
    if (!taken) return bytes.length;
    const head = parseResponseHead(taken.text, method, maxHeaders);
    if (head.status < 200) {
      informational += 1;
      if (head.status === 101) throw new ProtocolError('101 without an Upgrade');
      if (informational > maxInformational) throw new ProtocolError('too many 1xx answers');
      events?.onInformational(head);
    } else {
      events?.onHead(head);
      startBody(head.framing);
    }
    return taken.next;
  };
  const readData = (bytes: Buffer, at: number): number => {
    const end = state === 'close' ? bytes.length : Math.min(bytes.length, at + left);
    const chunk = at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end);
    left -= chunk.length;
    const last = state === 'length' && left === 0;
    events?.onData(chunk, last);
    if (last) finish(noTrailers);
    else if (state === 'chunkData' && left === 0) state = 'chunkEnd';
    return end;
  };
  const readChunkSize = (bytes: Buffer, at: number): number => {
    const taken = takeUntil(bytes, at, '\r\n', maxChunkLineBytes);
    if (!taken) return bytes.length;
    const size = chunkLine.exec(taken.text.slice(0, -2))?.[1];
    if (size === undefined) throw new ProtocolError('malformed chunk size');
    left = Number.parseInt(size, 16);
    state = left === 0 ? 'trailers' : 'chunkData';
    return taken.next;
  };
  const readChunkEnd = (bytes: Buffer, at: number): number => {
    const taken = takeUntil(bytes, at, '\r\n', 2);
    if (!taken) return bytes.length;
    state = 'chunkSize';
    return taken.next;
  };
  const readTrailers = (bytes: Buffer, at: number): number => {
    // No trailers is the common case: an empty line at once.
    const held = partial.length + bytes.length - at;
    const first = partial.length > 0 ? partial[0] : bytes[at];
    const mark = first === 0x0d ? '\r\n' : '\r\n\r\n';
    if (held < 2) {
      partial = Buffer.concat([partial, bytes.subarray(at)]);
      return bytes.length;
    }
    const taken = takeUntil(bytes, at, mark, maxHeaderBytes);
    if (!taken) return bytes.length;
    finish(parseTrailers(taken.text, maxHeaders));
    return taken.next;
  };

  const step = (bytes: Buffer, at: number): number => {
    switch (state) {
      case 'idle':
        throw new ProtocolError('bytes that no request asked for');
      case 'head':
        return readHead(bytes, at);
      case 'length':
      case 'close':
      case 'chunkData':
        return readData(bytes, at);
      case 'chunkSize':
        return readChunkSize(bytes, at);
      case 'chunkEnd':
        return readChunkEnd(bytes, at);
      case 'trailers':
        return readTrailers(bytes, at);
    }
  };
  return {
    begin(nextMethod, nextEvents) {
      if (state !== 'idle') throw new ProtocolError('a request before the last answer has ended');
      state = 'head';
      method = nextMethod;
      events = nextEvents;
      informational = 0;
    },
    push(bytes) {
      for (let at = 0; at < bytes.length; ) at = step(bytes, at);
    },
    end() {
      if (state === 'close') finish(noTrailers);
      else if (state !== 'idle') throw new ProtocolError('closed before the answer was whole');
    },
    get idle() {
      return state === 'idle';
    },
  };
}

function hasBareLineFeed(bytes: Buffer): boolean {
  const at = bytes.indexOf(0x0a);
  return at === 0 || (at > 0 && bytes[at - 1] !== 0x0d);
}
