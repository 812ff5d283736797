import { createWriteStream, fstat, type Stats, stat, type WriteStream } from 'node:fs';
import type { FleetConfig } from '../../libs/events/mod.ts';

/** A request that is over. */
export interface AccessRecord {
  /** Epoch ms of its arrival. */
  readonly timeMs: number;
  readonly client: string;
  readonly method: string;
  /** Path with query. */
  readonly target: string;
  readonly httpVersion: string;
  readonly host: string | undefined;
  readonly status: number;
  /** Of the answer's body, from a server. */
  readonly bytes: number;
  readonly durationMs: number;
  readonly pool: string | undefined;
  readonly server: string | undefined;
  readonly attempts: number;
  readonly referer: string | undefined;
  readonly userAgent: string | undefined;
  readonly traceparent: string | undefined;
}

export interface AccessLog {
  write(record: AccessRecord): void;
  /** Writes what is held, and resolves when it is written. */
  close(): Promise<void>;
}

type Settings = FleetConfig['proxy']['accessLog'];

const flushAfterMs = 200;
/** Lines held for a disk that is slow; more are dropped: the request path never waits for a log. */
const maxHeldBytes = 8 * 1024 * 1024;
const moveCheckMs = 1_000;

/**
 * Opens the access log; undefined: it is off. Lines of several workers may go to one file: each write is whole lines,
 * appended. A file that was moved away (logrotate) is opened anew within a second.
 */
export function openAccessLog(
  { format, file, query }: Settings,
  onProblem: (problem: string, details: object) => void,
): AccessLog | undefined {
  if (format === 'off') return undefined;
  const lineOf = format === 'json' ? jsonLine : combinedLine;
  const sink = file === '-' ? undefined : openFile(file, onProblem);
  let held = '';
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    timer = undefined;
    if (held !== '') (sink?.stream() ?? process.stdout).write(held);
    held = '';
    if (dropped > 0) onProblem('access log lines dropped: its disk is too slow', { lines: dropped });
    dropped = 0;
  };
  return {
    write(record) {
      const waiting = (sink?.stream() ?? process.stdout).writableLength + held.length;
      if (waiting > maxHeldBytes) dropped += 1;
      else held += lineOf(query ? record : { ...record, target: record.target.split('?', 1)[0] ?? '/' });
      timer ??= setTimeout(flush, flushAfterMs);
    },
    async close() {
      clearTimeout(timer);
      flush();
      await sink?.close();
    },
  };
}

function openFile(file: string, onProblem: (problem: string, details: object) => void) {
  const open = () => {
    const stream = createWriteStream(file, { flags: 'a', mode: 0o640 });
    stream.on('error', (error) => onProblem('access log not written', { error: error.message }));
    stream.once('open', (fd) => {
      fstat(fd, (_error, stats) => {
        if (stream === current) openInode = inodeOf(stats);
      });
    });
    return stream;
  };
  let openInode: number | undefined;
  let current: WriteStream = open();
  const look = () =>
    stat(file, (_error, stats) => {
      const isSame = openInode === undefined || inodeOf(stats) === openInode;
      if (closed || (isSame && !current.destroyed)) return;
      openInode = undefined;
      current.end();
      current = open();
    });
  let closed = false;
  const timer = setInterval(look, moveCheckMs).unref();
  return {
    stream: () => current,
    close() {
      closed = true;
      clearInterval(timer);
      return new Promise<void>((resolve) => {
        if (current.destroyed) return resolve();
        current.once('close', () => resolve());
        current.end();
      });
    },
  };
}

/** @param stats undefined in spite of its type: there is no such file. */
function inodeOf(stats: Stats | undefined): number | undefined {
  return stats?.ino;
}

function jsonLine(record: AccessRecord): string {
  const { timeMs, ...rest } = record;
  return `${JSON.stringify({ time: new Date(timeMs).toISOString(), ...rest })}\n`;
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Apache's and nginx's `combined`, with its time in UTC. */
export function combinedLine(record: AccessRecord): string {
  const { client, method, target, httpVersion, status, bytes, referer, userAgent } = record;
  const request = `${method} ${target} HTTP/${httpVersion}`;
  const size = bytes === 0 ? '-' : bytes;
  const quoted = [referer, userAgent].map((text) => `"${escaped(text ?? '-')}"`).join(' ');
  return `${client} - - [${clfTime(record.timeMs)}] "${escaped(request)}" ${status} ${size} ${quoted}\n`;
}

function clfTime(timeMs: number): string {
  const iso = new Date(timeMs).toISOString();
  const month = months[Number(iso.slice(5, 7)) - 1];
  return `${iso.slice(8, 10)}/${month}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`;
}

/** What clients say can't end a line or a field of the log. */
function escaped(text: string): string {
  return text.replace(/["\\]|[^\x20-\x7e]/g, (char) =>
    char === '"' || char === '\\' ? `\\${char}` : `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
