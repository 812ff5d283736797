import { connect } from 'node:net';

/** What a client of the crowd got. */
export type Outcome =
  /** 200, whole. */
  | 'served'
  /** 503 as a problem document with Retry-After, whole. */
  | 'refused'
  /** The connection was closed before a byte came: `proxy.maxConnections` were open, or it is a defect. */
  | 'turnedAway'
  /** Anything else: the status with what is wrong, or the code of the error. */
  | { readonly other: string };

export interface Visit {
  readonly port: number;
  /** Also chooses the address that it comes from, of many: each has its own ports. */
  readonly turn: number;
  readonly bytes: number;
  readonly patienceMs: number;
}

const networks = 4;
const addressesEach = 50;

/** One request on a connection of its own, which says that it is the last. */
export function visit({ port, turn, bytes, patienceMs }: Visit): Promise<Outcome> {
  return new Promise((done) => {
    const localAddress = `127.0.${1 + (turn % networks)}.${1 + (Math.floor(turn / networks) % addressesEach)}`;
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    let head = '';
    let bodyBytes = 0;
    let tail = '';
    let failure: string | undefined;
    const timer = setTimeout(() => {
      failure = 'no answer in time';
      socket.destroy();
    }, patienceMs);
    socket.on('data', (chunk) => {
      const text = chunk.toString('latin1');
      const isHead = !head.includes('\r\n\r\n');
      if (isHead) head += text;
      bodyBytes += isHead ? 0 : chunk.length;
      tail = (tail + text).slice(-lastChunk.length);
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      failure ??= code ?? 'error';
    });
    socket.once('close', () => {
      clearTimeout(timer);
      const split = head.indexOf('\r\n\r\n') + 4;
      done(outcomeOf(head.slice(0, split), bodyBytes + head.length - split, tail, failure));
    });
    socket.write(
      `GET /chunks?seed=${turn}&bytes=${bytes} HTTP/1.1\r\nhost: crowd.example\r\nconnection: close\r\n\r\n`,
    );
  });
}

const lastChunk = '\r\n0\r\n\r\n';
const beforeAnswer = new Set([undefined, 'ECONNRESET', 'EPIPE']);

function outcomeOf(head: string, bodyBytes: number, tail: string, failure: string | undefined): Outcome {
  if (head === '' && beforeAnswer.has(failure)) return 'turnedAway';
  const status = head.slice(9, 12);
  if (failure !== undefined) return { other: `${failure}${status ? ` in a ${status}` : ''}` };
  const length = /^content-length: (\d+)/im.exec(head)?.[1];
  const isWhole = length === undefined ? tail === lastChunk : Number(length) === bodyBytes;
  if (!isWhole) return { other: `${status} cut off` };
  if (status === '200') return 'served';
  const isProblem =
    /^content-type: application\/problem\+json/im.test(head) && /^retry-after: \d+/im.test(head);
  return status === '503' && isProblem ? 'refused' : { other: status };
}
