import type { Server, Socket } from 'node:net';
import { parseProxyHeader } from './proxyProtocol.ts';

/** What holds for the connections of one port; undefined: they come from clients themselves. */
export interface ProxiedRules {
  readonly trusts: (address: string) => boolean;
  readonly headerTimeoutMs: number;
}

/**
 * Lets the connections of a port begin with a PROXY header, when its rules ask for it: from then on `remoteAddress` of
 * their sockets is the client's. One that comes from an untrusted address, without the header or too slowly is closed
 * at once, without an answer.
 */
export function acceptProxied(
  server: Server,
  rulesNow: () => ProxiedRules | undefined,
  onProblem: (problem: string, details: object) => void,
): void {
  const accept = server.listeners('connection') as ((socket: Socket) => void)[];
  server.removeAllListeners('connection');
  const hand = (socket: Socket) => {
    for (const listener of accept) listener.call(server, socket);
  };
  /** Clients by the proxy's address and port: TLS wraps the socket, these stay. */
  const clients = new Map<string, string>();
  server.on('connection', (socket: Socket) => {
    const rules = rulesNow();
    if (!rules) return hand(socket);
    readHeader(socket, rules, onProblem, (source) => {
      if (source !== undefined) {
        const peer = peerOf(socket);
        clients.set(peer, source);
        socket.once('close', () => clients.delete(peer));
        speakAs(socket, source);
      }
      hand(socket);
    });
  });
  server.prependListener('secureConnection', (secure: Socket) => {
    const source = clients.size > 0 ? clients.get(peerOf(secure)) : undefined;
    if (source !== undefined) speakAs(secure, source);
  });
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function speakAs(socket: Socket, address: string): void {
  Object.defineProperty(socket, 'remoteAddress', { value: address });
}

function readHeader(
  socket: Socket,
  { trusts, headerTimeoutMs }: ProxiedRules,
  onProblem: (problem: string, details: object) => void,
  onHeader: (source: string | undefined) => void,
): void {
  const { remoteAddress } = socket;
  const refuse = (why: string) => {
    onProblem('connection refused at the PROXY header', { from: remoteAddress, why });
    settle();
    socket.destroy();
  };
  let held: Buffer = Buffer.alloc(0);
  const onReadable = () => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const header = parseProxyHeader(held);
    if (header.kind === 'more') return;
    if (header.kind === 'refused') return refuse(header.why);
    settle();
    const rest = held.subarray(header.bytes);
    if (rest.length > 0) socket.unshift(rest);
    onHeader(header.source);
  };
  const onError = () => socket.destroy();
  const onTimeout = () => refuse('it did not come in time');
  const timer = setTimeout(onTimeout, headerTimeoutMs);
  const settle = () => {
    clearTimeout(timer);
    socket.off('readable', onReadable);
    socket.off('end', onError);
    socket.off('error', onError);
    socket.off('close', settle);
  };
  socket.on('error', onError);
  socket.on('close', settle);
  if (remoteAddress === undefined || !trusts(remoteAddress)) {
    refuse('an untrusted address');
    return;
  }
  socket.on('end', onError);
  socket.on('readable', onReadable);
}
