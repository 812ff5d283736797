import type { Socket } from 'node:net';

/** A WebSocket Close frame with 1012, "service restart" (RFC 6455 5.5.1): the client may connect again at once. */
const closeFrame = Buffer.from([0x88, 0x02, 0x03, 0xf4]);

/** The clients' sockets of open WebSockets, by the server that they are carried to. */
export interface Upgraded {
  add(server: string, socket: Socket): void;
  /** Closes those of a server the protocol's way: it is going to sleep, and there are others. */
  readonly restart: (server: string) => void;
}

export function createUpgraded(): Upgraded {
  const open = new Map<string, Set<Socket>>();
  return {
    add(server, socket) {
      const sockets = open.get(server) ?? new Set();
      open.set(server, sockets.add(socket));
      socket.once('close', () => {
        sockets.delete(socket);
        if (sockets.size === 0 && open.get(server) === sockets) open.delete(server);
      });
    },
    restart(server) {
      // Frames are written whole, one after the other, and a control frame may stand between any two.
      for (const socket of open.get(server) ?? []) socket.end(closeFrame);
    },
  };
}
