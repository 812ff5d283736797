import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Problem, problemOf } from '../../libs/runtime/errors.ts';

/** What a client still sends on a connection that has ended for us is thrown away, up to here. */
export interface LingerBounds {
  readonly lingerMs: number;
  readonly lingerBytes: number;
}

/**
 * Ends a connection so that its client gets what was written (RFC 9112 9.6): our side is closed, and what still comes
 * is thrown away until the client closes, or it is too much. A connection closed with bytes unread is reset, and the
 * reset may overtake the answer.
 */
export function closeInOrder(socket: Socket, { lingerMs, lingerBytes }: LingerBounds): void {
  if (socket.destroyed || socket.writableEnded) return;
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(timer));
  socket.on('error', () => undefined);
  const mostBytes = socket.bytesRead + lingerBytes;
  const throwAway = () => {
    // Nothing is parsed any more: what is pipelined behind is not served.
    socket.removeAllListeners('data');
    socket.on('data', () => {
      if (socket.bytesRead > mostBytes) socket.destroy();
    });
  };
  socket.end();
  if (!socket.isPaused()) {
    throwAway();
    return;
  }
  // Node's parser reads past the stream: it has to be at it again when it is taken away.
  socket.once('resume', throwAway);
  socket.resume();
}

/** Node ends a connection after its last answer by `destroySoon`: from now on in order. */
export function endInOrder(socket: Socket, boundsNow: () => LingerBounds): void {
  socket.destroySoon = () => closeInOrder(socket, boundsNow());
}

const problems: Readonly<Record<string, Problem>> = {
  ERR_HTTP_REQUEST_TIMEOUT: problemOf('NEMURI_REQUEST_TIMEOUT', 'The request did not come in time.'),
  HPE_HEADER_OVERFLOW: problemOf('NEMURI_HEADERS_TOO_LARGE', 'The header section is too long.'),
};
const malformed = problemOf('NEMURI_BAD_REQUEST', 'This is not HTTP as RFC 9112 has it.');
const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};

/** A socket as Node's HTTP server has it: with the answer that is being written, or waited for. */
interface Answering {
  readonly _httpMessage?: ServerResponse | null;
}

/**
 * Answers what Node's parser can't go on with, or waited for too long. Never into an answer that has begun, nor in
 * place of one that a whole request before it waits for: that one is given, and is the last.
 */
export function answerParseError(
  { code = '' }: { readonly code?: string },
  socket: Socket,
  bounds: LingerBounds,
): void {
  const { _httpMessage: answer } = socket as Answering;
  if (!socket.writable || code === 'ECONNRESET') {
    // Ended in order already, its client has closed too or sends what nobody reads.
    if (!socket.writableEnded) socket.destroy();
    return;
  }
  if (answer?.req.complete) {
    answer.shouldKeepAlive = false;
    return;
  }
  if (answer?.headersSent) {
    socket.destroy();
    return;
  }
  const problem = problems[code] ?? malformed;
  const body = JSON.stringify(problem);
  socket.write(
    `HTTP/1.1 ${problem.status} ${reasons[problem.status]}\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
  closeInOrder(socket, bounds);
}
