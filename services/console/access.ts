import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { ProblemError } from '../../libs/runtime/errors.ts';
import { resolveSecret } from '../../libs/runtime/secrets.ts';
import { createRateLimit } from './rateLimit.ts';
import { type ConsoleSettings, isLoopback } from './settings.ts';

export interface Session {
  /** Whoever logged in, by their own word: it stands in the history beside what they did. */
  readonly who: string | undefined;
  readonly expiresAtMs: number;
}

export const sessionCookie = 'nemuri_session';
/** A header that only a page of the same origin can set: no form of another site sends it. */
export const pageHeader = 'x-nemuri-console';
const sessionMs = 12 * 3_600_000;
const maxSessions = 1_000;
const maxLoginsPerMinute = 10;
const maxActionsPerMinute = 120;
const minuteMs = 60_000;

/** Who may look and act. */
export interface Access {
  readonly loginRequired: boolean;
  /** @throws ProblemError when the request came by a name that is not the console's (DNS rebinding). */
  checkHost(request: IncomingMessage): void;
  /** The session of a request; undefined: there is none. Without a login everybody on this machine has one. */
  sessionOf(request: IncomingMessage): Session | undefined;
  /** @throws ProblemError unless the request comes from the console's own page. */
  checkOrigin(request: IncomingMessage): void;
  /** @throws ProblemError when there were too many actions. */
  countAction(request: IncomingMessage): void;
  /** @returns the value of Set-Cookie. @throws ProblemError when the token is wrong, or was tried too often. */
  login(request: IncomingMessage, token: string, who: string | undefined): Promise<string>;
  /** @returns the value of Set-Cookie. */
  logout(request: IncomingMessage): string;
}

const anyone: Session = { who: undefined, expiresAtMs: Number.POSITIVE_INFINITY };

export function createAccess(settings: ConsoleSettings, nowMs: () => number): Access {
  const { token: reference, origin } = settings;
  const sessions = new Map<string, Session>();
  const logins = createRateLimit(maxLoginsPerMinute, minuteMs);
  const actions = createRateLimit(maxActionsPerMinute, minuteMs);
  const cookie = (value: string, maxAgeSeconds: number) =>
    `${sessionCookie}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Strict${origin?.startsWith('https:') ? '; Secure' : ''}`;

  return {
    loginRequired: reference !== undefined,
    checkHost(request) {
      if (reference !== undefined) return;
      const name = hostNameOf(request.headers.host);
      const own = origin === undefined ? undefined : new URL(origin).hostname;
      if (name !== undefined && (isLoopback(name) || name === own)) return;
      throw new ProblemError(
        'NEMURI_HOST_NOT_ALLOWED',
        'without a login the console answers to this machine’s own names only',
      );
    },
    sessionOf(request) {
      if (reference === undefined) return anyone;
      const id = cookieOf(request);
      const session = id === undefined ? undefined : sessions.get(digest(id).toString('hex'));
      return session && nowMs() < session.expiresAtMs ? session : undefined;
    },
    checkOrigin(request) {
      const given = request.headers.origin;
      const isOwn =
        given === undefined || given === origin || hostOf(given) === request.headers.host?.toLowerCase();
      if (isOwn && request.headers[pageHeader] !== undefined) return;
      throw new ProblemError(
        'NEMURI_ORIGIN_REFUSED',
        `an action needs the header ${pageHeader} and no other origin`,
      );
    },
    countAction(request) {
      refuseTooOften(actions.take(addressOf(request), nowMs()));
    },
    async login(request, token, who) {
      refuseTooOften(logins.take(addressOf(request), nowMs()));
      if (reference === undefined) throw new ProblemError('NEMURI_NOT_FOUND', 'this console needs no login');
      const secret = await resolveSecret(reference);
      // Both are hashed, so that neither length nor content shows in the time it takes.
      if (!timingSafeEqual(digest(token), digest(secret)))
        throw new ProblemError('NEMURI_LOGIN_REFUSED', 'see what NEMURI_CONSOLE_TOKEN refers to');
      const id = randomBytes(32).toString('base64url');
      for (const [key, session] of sessions) if (nowMs() >= session.expiresAtMs) sessions.delete(key);
      for (const key of sessions.keys()) {
        if (sessions.size < maxSessions) break;
        sessions.delete(key);
      }
      sessions.set(digest(id).toString('hex'), { who, expiresAtMs: nowMs() + sessionMs });
      return cookie(id, sessionMs / 1_000);
    },
    logout(request) {
      const id = cookieOf(request);
      if (id !== undefined) sessions.delete(digest(id).toString('hex'));
      return cookie('', 0);
    },
  };
}

function refuseTooOften(waitMs: number): void {
  if (waitMs === 0) return;
  const seconds = Math.ceil(waitMs / 1_000);
  throw new ProblemError('NEMURI_TOO_OFTEN', `try again in ${seconds} s`, seconds);
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function addressOf(request: IncomingMessage): string {
  return request.socket.remoteAddress ?? '';
}

function cookieOf(request: IncomingMessage): string | undefined {
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const [name, value] = part.trim().split('=');
    if (name === sessionCookie && value) return value;
  }
  return undefined;
}

function hostOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).host : undefined;
}

function hostNameOf(host: string | undefined): string | undefined {
  const url = `http://${host}`;
  return host !== undefined && URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : undefined;
}
