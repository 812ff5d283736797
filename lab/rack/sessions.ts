import { randomBytes } from 'node:crypto';

export interface Session {
  readonly id: string;
  readonly token: string;
  readonly userName: string;
  readonly usedMs: number;
}

/** The sessions of one BMC: bounded in number, each ends when it was not used for the time-out. */
export interface Sessions {
  /** undefined: no session is left to give. */
  open(userName: string): Session | undefined;
  /** True, and the session lives on, when the token is one. */
  touch(token: string): boolean;
  close(id: string): boolean;
  list(): readonly Session[];
  /** Ends all of them, as a restart of the BMC does. */
  clear(): void;
}

/** @param clock monotonic milliseconds */
export function createSessions(maxSessions: number, timeoutMs: number, clock: () => number): Sessions {
  let sessions: readonly Session[] = [];
  let count = 0;
  const expire = () => {
    const oldestMs = clock() - timeoutMs;
    sessions = sessions.filter((session) => session.usedMs > oldestMs);
  };
  return {
    open(userName) {
      expire();
      if (sessions.length >= maxSessions) return undefined;
      count += 1;
      const token = randomBytes(16).toString('hex');
      const session = { id: String(count), token, userName, usedMs: clock() };
      sessions = [...sessions, session];
      return session;
    },
    touch(token) {
      expire();
      const found = sessions.some((session) => session.token === token);
      sessions = sessions.map((session) =>
        session.token === token ? { ...session, usedMs: clock() } : session,
      );
      return found;
    },
    close(id) {
      expire();
      const found = sessions.some((session) => session.id === id);
      sessions = sessions.filter((session) => session.id !== id);
      return found;
    },
    list() {
      expire();
      return sessions;
    },
    clear() {
      sessions = [];
    },
  };
}
