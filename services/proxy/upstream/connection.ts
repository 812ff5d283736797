import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { addressGuard } from '../../../libs/runtime/addressGuard.ts';
import { bodyTimeout, type RequestBody } from '../body.ts';
import { writeSoon } from '../writeSoon.ts';
import { createResponseParser, type ParserBounds, type ResponseEvents } from './responseParser.ts';

/** Where a call was when it failed. */
export type FailedAt = 'connect' | 'beforeAnswer' | 'timeout' | 'inAnswer';

export interface UpstreamRequest {
  readonly method: string;
  /** Request line and header section up to and with the empty line; latin1. */
  readonly head: string;
  readonly body: RequestBody;
  /** The body goes out in chunks. */
  readonly chunked: boolean;
  /** May reach a server twice without harm (RFC 9110 9.2.2). */
  readonly idempotent: boolean;
}

export interface UpstreamHandler extends ResponseEvents {
  /** The answer has begun and nothing more of it has come yet: what was told can go on. */
  onQuiet(): void;
  /** So many bytes of the request's body are on their way. */
  onBodySent(bytes: number): void;
  /** Called once, instead of `onEnd`. */
  onError(error: Error, at: FailedAt): void;
}

export interface ConnectionBounds extends ParserBounds {
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

/** Beside the defaults: the host's name, and the system's CAs. */
export interface TlsOptions {
  readonly servername?: string;
  readonly ca?: string[];
}

export interface Target {
  readonly host: string;
  readonly port: number;
  /** Undefined: in plain. */
  readonly tls: TlsOptions | undefined;
}

/** A request under way. */
export interface Call {
  readonly request: UpstreamRequest;
  readonly handler: UpstreamHandler;
  /** What carries it; undefined: it is over. */
  connection: Carrier | undefined;
}

export interface Carrier {
  /** The answer is not wanted any more: nothing is told of this call from now on. */
  abort(call: Call): void;
  pause(): void;
  resume(): void;
}

/** One connection to a server; carries one call at a time. */
export interface Connection extends Carrier {
  /** Answers came on it before: the server may be closing it just now. */
  readonly used: boolean;
  /** It stands. */
  readonly connected: boolean;
  send(call: Call): void;
  /** Ends it, and the call under way with this error; undefined: in silence. */
  destroy(error: Error | undefined): void;
  /** Asked again and again: a time-out that has passed ends it. */
  checkTime(nowMs: number, keepAliveTimeoutMs: number): void;
}

export interface ConnectionEvents {
  onConnected(): void;
  /** The answer has ended and another call can come. */
  onFree(connection: Connection): void;
  /** It is of no use any more. Called once. */
  onGone(connection: Connection): void;
  onFailed(call: Call, connection: Connection, error: Error, at: FailedAt): void;
}

class TimeoutError extends Error {}

/** Reads happen one at a time in this thread and are consumed within their callback, so all can share the memory. */
const sharedReads = Buffer.allocUnsafeSlow(64 * 1024);

/** Opens a connection. What is sent before it stands waits for it. */
export function openConnection(
  target: Target,
  bounds: ConnectionBounds,
  events: ConnectionEvents,
): Connection {
  const parser = createResponseParser(bounds);
  let call: Call | undefined;
  let connected = false;
  let gone = false;
  let used = false;
  let answering = false;
  let reusable = false;
  let bodySent = true;
  let paused = false;
  let freed = false;
  /** Something came or went since the time was last looked at. */
  let stirred = true;
  let quietSinceMs = 0;

  const onBytes = (length: number, bytes: Uint8Array): boolean => {
    stirred = true;
    answering = true;
    const whole = bytes as Buffer;
    try {
      parser.push(length === whole.length ? whole : whole.subarray(0, length));
    } catch (error) {
      destroy(error as Error);
    }
    // Not before all bytes are read: what follows an answer must never be taken for the next call's.
    if (freed && !gone) events.onFree(connection);
    else call?.handler.onQuiet();
    freed = false;
    return !paused;
  };
  const socket = dial(target, onBytes);
  const destroy = (error: Error | undefined) => {
    if (gone) return;
    gone = true;
    const failed = call;
    const at = failedAt(error, connected, answering);
    call = undefined;
    socket.destroy();
    events.onGone(connection);
    if (!failed) return;
    failed.connection = undefined;
    if (error) events.onFailed(failed, connection, error, at);
  };
  const write = () => {
    if (!call || gone) return;
    const { body, chunked } = call.request;
    const { content } = body;
    const hasMore = content !== null;
    if (hasMore) socket.cork();
    socket.write(call.request.head, 'latin1');
    if (Buffer.isBuffer(content)) {
      call.handler.onBodySent(content.length);
      writeChunk(socket, content, chunked);
      if (chunked) socket.write(`0\r\n${body.trailers()}\r\n`, 'latin1');
    } else if (content !== null) {
      bodySent = false;
      stream(call, content()).catch((error) => destroy(error as Error));
    }
    if (hasMore) socket.uncork();
  };
  const stream = async (of: Call, content: AsyncIterable<Buffer>) => {
    const { chunked, body } = of.request;
    for await (const chunk of content) {
      if (call !== of || gone) return;
      stirred = true;
      of.handler.onBodySent(chunk.length);
      if (!writeChunk(socket, chunk, chunked)) await flushed(socket);
    }
    if (call !== of || gone) return;
    if (chunked) socket.write(`0\r\n${body.trailers()}\r\n`, 'latin1');
    bodySent = true;
  };
  const answer: ResponseEvents = {
    onInformational: (head) => call?.handler.onInformational(head),
    onHead(head) {
      reusable = head.reusable;
      call?.handler.onHead(head);
    },
    onData: (chunk, last) => call?.handler.onData(chunk, last),
    onEnd(trailers) {
      const ended = call;
      call = undefined;
      used = true;
      connection.resume();
      // A server that answers before it has the whole request may take the rest for the next one.
      if (!reusable || !bodySent) destroy(undefined);
      else freed = true;
      if (!ended) return;
      ended.connection = undefined;
      ended.handler.onEnd(trailers);
    },
  };
  socket.once(target.tls ? 'secureConnect' : 'connect', () => {
    if (gone) return;
    connected = true;
    stirred = true;
    events.onConnected();
    write();
  });
  socket.on('error', destroy);
  socket.on('end', () => {
    try {
      parser.end();
      destroy(undefined);
    } catch (error) {
      destroy(error as Error);
    }
  });
  socket.on('close', () => destroy(new Error('the connection closed')));

  const connection: Connection = {
    get used() {
      return used;
    },
    get connected() {
      return connected;
    },
    send(next) {
      call = next;
      next.connection = connection;
      answering = false;
      bodySent = true;
      stirred = true;
      parser.begin(next.request.method, answer);
      if (connected) writeSoon(write);
    },
    pause() {
      paused = true;
      socket.pause();
    },
    resume() {
      if (!paused) return;
      paused = false;
      stirred = true;
      socket.resume();
    },
    abort(unwanted) {
      if (call === unwanted) destroy(undefined);
    },
    destroy,
    checkTime(nowMs, keepAliveTimeoutMs) {
      // A client that reads slowly is not the server's silence.
      if (stirred || paused) {
        stirred = false;
        quietSinceMs = nowMs;
        return;
      }
      const quietMs = nowMs - quietSinceMs;
      if (!call) {
        if (quietMs >= keepAliveTimeoutMs) destroy(undefined);
      } else if (!connected) {
        if (quietMs >= bounds.connectTimeoutMs) destroy(new TimeoutError('connect time-out'));
      } else if (quietMs >= (answering ? bounds.idleTimeoutMs : bounds.responseTimeoutMs)) {
        const { awaited } = call.request.body;
        destroy(awaited ? bodyTimeout() : new TimeoutError('the server was silent for too long'));
      }
    },
  };
  return connection;
}

function failedAt(error: Error | undefined, connected: boolean, answering: boolean): FailedAt {
  if (!connected) return 'connect';
  if (answering) return 'inAnswer';
  return error instanceof TimeoutError ? 'timeout' : 'beforeAnswer';
}

function dial({ host, port, tls }: Target, onBytes: (length: number, bytes: Uint8Array) => boolean): Socket {
  if (!tls) {
    const onread = { buffer: sharedReads, callback: onBytes };
    return connectTcp({ host, port, noDelay: true, onread, ...addressGuard.target(host) });
  }
  const servername = /^[\d.]+$|:/.test(host) ? undefined : host;
  const socket = connectTls({
    host,
    port,
    ALPNProtocols: ['http/1.1'],
    ...(servername ? { servername } : {}),
    ...tls,
    ...addressGuard.target(host),
  });
  socket.setNoDelay(true);
  socket.on('data', (chunk: Buffer) => onBytes(chunk.length, chunk));
  return socket;
}

/** @returns false when the socket wants to be flushed first. An empty chunk would end the body: it is left out. */
function writeChunk(socket: Socket, chunk: Buffer, chunked: boolean): boolean {
  if (chunk.length === 0) return true;
  if (!chunked) return socket.write(chunk);
  socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1');
  socket.write(chunk);
  return socket.write('\r\n', 'latin1');
}

/** Resolves when the socket takes more, or never will. */
function flushed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.once('drain', done);
    socket.once('close', done);
  });
}
