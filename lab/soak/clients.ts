import { Agent, type IncomingMessage, type RequestOptions, request as startRequest } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { messageOf } from '../../libs/runtime/errors.ts';
import { payload, sumOf } from './payload.ts';
import { complain, type Tally } from './tally.ts';

export interface ClientSettings {
  readonly port: number;
  readonly tally: Tally;
  readonly random: () => number;
  /** A server died a moment ago: what it had may be gone. */
  readonly isLossExcused: () => boolean;
  /** No new request when it is aborted; those open come to their end. */
  readonly signal: AbortSignal;
}

/** Up to here the proxy holds a body to send it again (`retryBufferBytes`). */
const heldBytes = 65_536;
const thinkMs = 40;
const streamMs = 3_000;
const clientsOf = { small: 10, large: 2, chunked: 3, upload: 3, stream: 2, post: 2, events: 4, socket: 6 };

type Kind = keyof typeof clientsOf;
type Work = (settings: ClientSettings, agent: Agent) => Promise<void>;

/** Keeps the mixed traffic going. @returns when the last client has ended. */
export async function runClients(settings: ClientSettings): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 200 });
  const kinds = Object.entries(clientsOf) as [Kind, number][];
  const clients = kinds.flatMap(([kind, count]) =>
    Array.from({ length: count }, async () => {
      while (!settings.signal.aborted) {
        await works[kind](settings, agent);
        await delay(settings.random() * thinkMs);
      }
    }),
  );
  await Promise.all(clients);
  agent.destroy();
}

const works: Readonly<Record<Kind, Work>> = {
  small: (settings, agent) => get(settings, agent, 'bytes', 1 + Math.floor(settings.random() * 2_000)),
  large: (settings, agent) => get(settings, agent, 'bytes', Math.floor(settings.random() * 1_000_000)),
  chunked: (settings, agent) => get(settings, agent, 'chunks', Math.floor(settings.random() * 200_000)),
  upload: (settings, agent) => send(settings, agent, 'PUT', Math.floor(settings.random() * heldBytes), false),
  stream: (settings, agent) => send(settings, agent, 'PUT', Math.floor(settings.random() * 500_000), true),
  post: (settings, agent) => send(settings, agent, 'POST', Math.floor(settings.random() * 20_000), false),
  events,
  socket,
};

function seedOf({ random }: ClientSettings): number {
  return Math.floor(random() * 1_000_000);
}

async function get(settings: ClientSettings, agent: Agent, what: string, bytes: number): Promise<void> {
  const seed = seedOf(settings);
  const { tally, port } = settings;
  tally.requests += 1;
  const about = `GET ${what} of ${bytes}`;
  const answer = await ask(
    { agent, port, path: `/${what}?seed=${seed}&bytes=${bytes}` },
    async (outgoing) => void outgoing.end(),
  );
  if (answer instanceof Error) return complain(tally, 'failed', `${about}: ${messageOf(answer)}`);
  const body = await read(answer);
  if (body instanceof Error) return lose(settings, 'brokenOff', `${about}: ${messageOf(body)}`);
  if (answer.statusCode !== 200) return complain(tally, 'failed', `${about}: ${answer.statusCode} ${body}`);
  const isRight = answer.headers['x-seed'] === String(seed) && body.equals(payload(seed, bytes));
  if (!isRight)
    complain(tally, 'wrong', `${about}: ${body.length} bytes of seed ${answer.headers['x-seed']}`);
}

async function send(
  settings: ClientSettings,
  agent: Agent,
  method: 'PUT' | 'POST',
  bytes: number,
  inChunks: boolean,
): Promise<void> {
  const seed = seedOf(settings);
  const { tally, port } = settings;
  tally.requests += 1;
  const body = payload(seed, bytes);
  const headers = inChunks ? {} : { 'content-length': bytes };
  const options = { agent, port, method, headers, path: `/upload?seed=${seed}` };
  const answer = await ask(options, async (outgoing) => {
    for (let at = 0; at < bytes && !outgoing.destroyed; at += 20_000) {
      if (!outgoing.write(body.subarray(at, at + 20_000))) await drained(outgoing);
      if (inChunks) await delay(1);
    }
    outgoing.end();
  });
  const text = answer instanceof Error ? answer : await read(answer);
  const failed = text instanceof Error || answer instanceof Error || answer.statusCode !== 200;
  if (failed) {
    // What its server may have seen, or is not held any more, can't be sent again.
    if (method === 'POST' || bytes > heldBytes) tally.lost += 1;
    else
      complain(tally, 'failed', `${method} of ${bytes}: ${text instanceof Error ? messageOf(text) : text}`);
  } else if (String(text) !== sumOf(body)) complain(tally, 'wrong', `${method} of ${bytes}`);
}

/** Nobody can try this again; but only a death may cost it, never a sleep. */
function lose({ tally, isLossExcused }: ClientSettings, kind: 'lost' | 'brokenOff', words: string): void {
  if (isLossExcused()) tally[kind] += 1;
  else complain(tally, 'failed', `${kind} without a death: ${words}`);
}

/** Resolves to the head of the answer, or to the error before it. */
function ask(
  options: RequestOptions,
  write: (outgoing: ReturnType<typeof startRequest>) => Promise<void>,
): Promise<IncomingMessage | Error> {
  return new Promise((resolve) => {
    const outgoing = startRequest({ host: '127.0.0.1', ...options });
    outgoing.once('response', resolve);
    outgoing.on('error', resolve);
    write(outgoing).catch(resolve);
  });
}

async function read(answer: IncomingMessage): Promise<Buffer | Error> {
  const parts: Buffer[] = [];
  try {
    for await (const part of answer) parts.push(part);
    return Buffer.concat(parts);
  } catch (error) {
    return error as Error;
  }
}

function drained(outgoing: ReturnType<typeof startRequest>): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      outgoing.off('drain', done);
      outgoing.off('close', done);
      resolve();
    };
    outgoing.once('drain', done);
    outgoing.once('close', done);
  });
}

/** Reads an event stream for a while: each event is of this stream, and the next one. */
async function events(settings: ClientSettings, agent: Agent): Promise<void> {
  const seed = seedOf(settings);
  const { tally, port, random } = settings;
  tally.requests += 1;
  tally.eventStreams += 1;
  const answer = await ask(
    { agent, port, path: `/events?seed=${seed}` },
    async (outgoing) => void outgoing.end(),
  );
  if (answer instanceof Error) return complain(tally, 'failed', `events: ${messageOf(answer)}`);
  if (answer.statusCode !== 200) {
    answer.resume();
    return complain(tally, 'failed', `events: ${answer.statusCode}`);
  }
  const timer = setTimeout(() => answer.destroy(), random() * streamMs);
  let text = '';
  let count = 0;
  try {
    for await (const part of answer.setEncoding('utf8')) {
      text += part;
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        count += 1;
        tally.events += 1;
        const event = text.slice(0, end);
        if (event !== `id: ${count}\ndata: ${seed} ${count}`) complain(tally, 'wrong', `event ${event}`);
        text = text.slice(end + 2);
      }
    }
    tally.movedOn += 1;
  } catch {
    // We left, or the server died; the client of an event stream comes back by itself.
  } finally {
    clearTimeout(timer);
  }
}

/** Keeps a WebSocket open for a while: each message comes back as it went. */
async function socket(settings: ClientSettings): Promise<void> {
  const { tally, port, random } = settings;
  tally.requests += 1;
  tally.webSockets += 1;
  const open = new WebSocket(`ws://127.0.0.1:${port}/chat`);
  const closed = new Promise<number>((resolve) => open.once('close', resolve));
  let sent: Buffer | undefined;
  const next = () => {
    sent = payload(seedOf(settings), Math.floor(random() * 5_000));
    open.send(sent);
  };
  let isOpen = false;
  open.on('error', () => undefined);
  open.once('open', () => {
    isOpen = true;
    next();
  });
  open.on('message', (message: Buffer) => {
    tally.messages += 1;
    if (!sent?.equals(message)) complain(tally, 'wrong', `a message of ${message.length} bytes`);
    setTimeout(() => open.readyState === WebSocket.OPEN && next(), random() * thinkMs);
  });
  let left = false;
  const leave = () => {
    left = true;
    open.close(1000);
  };
  const timer = setTimeout(leave, random() * streamMs);
  const code = await closed;
  clearTimeout(timer);
  if (code === 1012) tally.movedOn += 1;
  // A server that dies takes its handshakes along; what is open is seen to break.
  else if (code !== 1000 && !left)
    lose(settings, isOpen ? 'brokenOff' : 'lost', `WebSocket closed with ${code}`);
}
