import { AsyncLocalStorage } from 'node:async_hooks';
import pino from 'pino';
import { iDRACRedfishClient } from 'redfish-client';
import { DriverError } from './driver.ts';
import { type Connection, type Method, untilAborted } from './httpConnection.ts';
import {
  type Answer,
  isObject,
  type JsonObject,
  kindOfStatus,
  linkOf,
  messageIdsOf,
  objectsOf,
  parseObject,
  parseRetryAfter,
  RedfishError,
  saysCritical,
  textOf,
  vendorMessage,
} from './redfishOutcome.ts';
import { monitorOf, watchTask } from './redfishTask.ts';

export interface TransportSettings {
  readonly serverName: string;
  readonly origin: string;
  readonly username: string;
  readonly taskTimeoutMs: number;
  readonly maxRedirects: number;
  /** Between two looks at a task, unless the BMC asks for another wait. */
  readonly taskPollMs: number;
  /** After refused credentials: no login for so long, because BMCs lock accounts. */
  readonly loginRetryMs: number;
  readonly closeTimeoutMs: number;
}

export interface TransportDependencies {
  readonly connection: Connection;
  /** Rejects with a DriverError that does not carry the secret. */
  readonly password: () => Promise<string>;
  /** Epoch ms. */
  readonly now: () => number;
}

interface Command {
  readonly method: Method;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

interface Auth {
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined with basic authentication: there is nothing to log out of. */
  readonly sessionPath?: string;
}

/** DSP0266: where sessions are made when the service root does not say. */
const standardSessionsPath = '/redfish/v1/SessionService/Sessions';
const noSessionService: readonly number[] = [404, 405, 501];
const redirects: readonly number[] = [301, 302, 303, 307, 308];
// The writings of one password, its basic form, and the tokens of the last sessions.
const rememberedSecrets = 8;

/**
 * The signal of whoever called, for the exchanges that inherited methods make. One for all transports: Node 20 goes over
 * every storage at every promise of the process, so that one for each BMC would cost a large fleet dearly.
 */
const caller = new AsyncLocalStorage<AbortSignal>();

/**
 * redfish-client with every exchange in our hands. As published (0.5.4) it verifies no certificate, knows no
 * time-out, takes an empty 409 or 503 for a success, returns on 202 without awaiting the task, opens a session
 * per parallel call, never logs in again, and logs to stdout. All its methods go through `customFetch` and
 * `getSessionToken`, which are replaced here, and it never gets the password. Its vendor classes are the only ones
 * it exports; nothing of that vendor's is used.
 *
 * Methods throw DriverError, or the reason of the signal they run `within`; the inherited ones also plain Errors
 * when an answer lacks what they look for.
 */
export class RedfishTransport extends iDRACRedfishClient {
  protected override readonly baseUrl: string;
  readonly #settings: TransportSettings;
  readonly #deps: TransportDependencies;
  readonly #closing = new AbortController();
  #auth: Promise<Auth> | undefined;
  #refusedUntilMs = Number.NEGATIVE_INFINITY;
  #secrets: readonly string[] = [];
  #closed: Promise<void> | undefined;
  readonly #redactor = (text: string) => this.redact(text);

  constructor(settings: TransportSettings, deps: TransportDependencies) {
    super(new URL(settings.origin).host, settings.username, '', pino({ level: 'silent' }));
    this.baseUrl = settings.origin;
    this.#settings = settings;
    this.#deps = deps;
  }

  /** Runs a call of any method; the signal cancels every exchange in it, also those of inherited methods. */
  within<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    return caller.run(signal, call);
  }

  /** A fresh GET of a path on the BMC. */
  async resource(path: string): Promise<JsonObject> {
    return (await this.customFetch<JsonObject>(this.baseUrl + path)).data;
  }

  /** POST of an action; a 202 is followed to the end of its task. */
  async act(target: string, parameters: JsonObject): Promise<void> {
    await this.customFetch(this.baseUrl + target, { method: 'POST', body: JSON.stringify(parameters) });
  }

  /** A text without the secrets that were in use; vendors echo what they were sent. */
  redact(text: string): string {
    // The longest first: one that holds another must not lose only that part.
    const secrets = [...this.#secrets].sort((a, b) => b.length - a.length);
    return secrets.reduce((clean, secret) => clean.replaceAll(secret, '***'), text);
  }

  protected override async customFetch<T>(
    url: string,
    options: RequestInit = {},
    withSessionToken = true,
  ): Promise<{ data: T; headers: Headers }> {
    const { method = 'GET', body } = options;
    if (method !== 'GET' && method !== 'POST')
      throw new DriverError(
        'unsupported',
        `${this.#settings.serverName}: redfish ${method} is not used here`,
      );
    const text = typeof body === 'string' ? body : undefined;
    const headers: Command['headers'] = text === undefined ? {} : { 'content-type': 'application/json' };
    const command: Command = { method, path: this.#pathOf(url), headers, body: text };
    // Part of a login: anything that needs a session would wait for itself.
    if (!withSessionToken) return this.#taken<T>(command, await this.#redirected(command));
    let answer = await this.#authorised(command);
    if (method === 'POST' && (answer.status === 412 || answer.status === 428)) {
      const etag = await this.#etagFor(command.path);
      answer = await this.#authorised({ ...command, headers: { ...headers, 'if-match': etag } });
    }
    if (method === 'POST' && answer.status === 202) answer = await this.#endOfTask(command, answer);
    return this.#taken<T>(command, answer);
  }

  override async getSessionToken(): Promise<string> {
    return (await this.#authorise()).headers['x-auth-token'] ?? '';
  }

  /** Logs out, bounded by closeTimeoutMs, and frees the sockets. Never rejects; a second call does nothing more. */
  override closeSession(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const bound = new AbortController();
    const timer = setTimeout(() => bound.abort(new Error('too late')), this.#settings.closeTimeoutMs);
    try {
      // A login under way is awaited: a session that nobody deletes fills the BMC's small table.
      const auth = this.#auth && (await untilAborted(this.#auth, bound.signal));
      if (auth) await this.#endSession(auth, bound.signal);
    } catch {
      // The session dies of its own time-out.
    } finally {
      clearTimeout(timer);
      this.#closing.abort(
        new DriverError('unreachable', `${this.#settings.serverName}: the driver is closed`),
      );
      await this.#deps.connection.close();
    }
  }

  #signal(): AbortSignal {
    return caller.getStore() ?? this.#closing.signal;
  }

  // redfish-client joins its base URL and what the BMC said as text: "https://bmc" + "@elsewhere/" is elsewhere.
  #pathOf(url: string): string {
    const said = url.startsWith(`${this.baseUrl}http`) ? url.slice(this.baseUrl.length) : url;
    const parsed = URL.canParse(said) ? new URL(said) : undefined;
    if (parsed?.origin === this.baseUrl) return parsed.pathname + parsed.search;
    const { serverName } = this.#settings;
    throw new DriverError('protocol', `${serverName}: the BMC named an address outside of itself`);
  }

  // BMCs write their own host name, which may not resolve here, into Location: only its path is used.
  #pathOfLocation(location: string | null | undefined): string | undefined {
    if (!location || !URL.canParse(location, this.baseUrl)) return undefined;
    const { pathname, search } = new URL(location, this.baseUrl);
    return pathname + search;
  }

  #failure(command: Command, answer: Answer, note = ''): RedfishError {
    const body = parseObject(answer.body);
    const told = [note, vendorMessage(body, this.#redactor)].filter(Boolean).join(': ');
    const text =
      `${this.#settings.serverName}: ${command.method} ${command.path}: ${answer.status} ${told}`.trimEnd();
    return new RedfishError(kindOfStatus(answer.status), this.redact(text), {
      status: answer.status,
      messageIds: messageIdsOf(body),
      retryAfterMs: parseRetryAfter(answer.headers.get('retry-after'), this.#deps.now()),
    });
  }

  #taken<T>(command: Command, answer: Answer): { data: T; headers: Headers } {
    if (answer.status < 200 || answer.status > 299) throw this.#failure(command, answer);
    const empty = answer.body.trim() === '';
    if (empty && command.method !== 'GET') return { data: {} as T, headers: answer.headers };
    const data = parseObject(answer.body);
    if (!data) {
      const where = `${this.#settings.serverName}: ${command.method} ${command.path}`;
      throw new DriverError('protocol', `${where}: ${answer.status} with a body that is no JSON object`);
    }
    if (saysCritical(data)) {
      const told = vendorMessage(data, this.#redactor);
      const text = `${this.#settings.serverName}: ${command.method} ${command.path}: ${answer.status} ${told}`;
      throw new RedfishError('refused', text, { status: answer.status, messageIds: messageIdsOf(data) });
    }
    return { data: withPlainMembers(data) as T, headers: answer.headers };
  }

  async #redirected(command: Command): Promise<Answer> {
    let { method, path } = command;
    for (let hops = 0; ; hops += 1) {
      const answer = await this.#deps.connection.send({ ...command, method, path }, this.#signal());
      if (!redirects.includes(answer.status)) return answer;
      const location = answer.headers.get('location');
      const base = this.baseUrl + path;
      const next = location && URL.canParse(location, base) ? new URL(location, base) : undefined;
      // Sent again as it is only where RFC 9110 says so: a 303 to a command is not a command.
      const mayFollow = method === 'GET' || answer.status === 307 || answer.status === 308;
      if (next?.origin !== this.baseUrl || !mayFollow || hops >= this.#settings.maxRedirects) {
        const note =
          next && next.origin !== this.baseUrl ? 'redirected to another origin' : 'redirect not followed';
        throw this.#failure(command, answer, note);
      }
      path = next.pathname + next.search;
    }
  }

  /** With a session; after a 401 once more with a new one. The callers of parallel 401s share one login. */
  async #authorised(command: Command): Promise<Answer> {
    const login = this.#authorise();
    const used = await untilAborted(login, this.#signal());
    const answer = await this.#redirected({ ...command, headers: { ...command.headers, ...used.headers } });
    if (answer.status !== 401) return answer;
    const isFirst = this.#auth === login;
    if (isFirst) this.#auth = undefined;
    if (used.headers.authorization !== undefined) {
      // The same password again is one more failure in the BMC's count.
      this.#refuseLogins();
      return answer;
    }
    if (isFirst) await this.#endSession(used, this.#signal());
    const fresh = await untilAborted(this.#authorise(), this.#signal());
    return this.#redirected({ ...command, headers: { ...command.headers, ...fresh.headers } });
  }

  /** Deletes a session by its own token, so that no other session can be hit; one that is gone stays gone. */
  async #endSession(auth: Auth, signal: AbortSignal): Promise<void> {
    if (auth.sessionPath === undefined) return;
    const request = { method: 'DELETE' as const, path: auth.sessionPath, headers: auth.headers };
    await this.#deps.connection.send(request, signal).catch(() => {});
  }

  #refuseLogins(): void {
    this.#refusedUntilMs = this.#deps.now() + this.#settings.loginRetryMs;
  }

  #authorise(): Promise<Auth> {
    if (this.#auth) return this.#auth;
    // One caller's signal must not cancel the login that others wait for.
    const login = caller.run(this.#closing.signal, () => this.#login());
    this.#auth = login;
    login.catch(() => {
      if (this.#auth === login) this.#auth = undefined;
    });
    return login;
  }

  async #login(): Promise<Auth> {
    const { serverName, username } = this.#settings;
    if (this.#closed) throw new DriverError('unreachable', `${serverName}: the driver is closed`);
    const waitMs = this.#refusedUntilMs - this.#deps.now();
    if (waitMs > 0)
      throw new DriverError(
        'unauthorized',
        `${serverName}: credentials were refused; no login for ${waitMs} ms`,
        {
          retryAfterMs: waitMs,
        },
      );
    const password = await this.#deps.password();
    const basic = Buffer.from(`${username}:${password}`).toString('base64');
    this.#remember(...writings(password), basic);
    const sessionsPath = await this.#sessionsPath();
    try {
      return await this.#openSession(sessionsPath, password);
    } catch (error) {
      if (!(error instanceof RedfishError)) throw error;
      const full = error.messageIds.some((id) => id.endsWith('SessionLimitExceeded'));
      if (full || noSessionService.includes(error.status))
        return { headers: { authorization: `Basic ${basic}` } };
      if (error.kind === 'unauthorized') this.#refuseLogins();
      throw error;
    }
  }

  async #sessionsPath(): Promise<string> {
    try {
      return await this.getRedfishSessionUri();
    } catch (error) {
      // Without a link, or with a root that wants a login, the standard path tells whether there are sessions.
      const answered =
        !(error instanceof DriverError) || (error instanceof RedfishError && error.kind !== 'busy');
      if (answered) return standardSessionsPath;
      throw error;
    }
  }

  async #openSession(sessionsPath: string, password: string): Promise<Auth> {
    const { serverName, username } = this.#settings;
    const { data, headers } = await this.customFetch<JsonObject>(
      this.baseUrl + sessionsPath,
      { method: 'POST', body: JSON.stringify({ UserName: username, Password: password }) },
      false,
    );
    const token = headers.get('x-auth-token');
    if (!token)
      throw new DriverError('protocol', `${serverName}: the BMC opened a session and gave no X-Auth-Token`);
    this.#remember(token);
    const id = textOf(data.Id);
    const sessionPath =
      this.#pathOfLocation(headers.get('location') ?? linkOf(data)) ?? (id && `${sessionsPath}/${id}`);
    return { headers: { 'x-auth-token': token }, ...(sessionPath ? { sessionPath } : {}) };
  }

  #remember(...secrets: string[]): void {
    const known = this.#secrets.filter((secret) => !secrets.includes(secret));
    this.#secrets = [...secrets.filter(Boolean), ...known].slice(0, rememberedSecrets);
  }

  /** If-Match for an action: the ETag of the resource it belongs to (DSP0266: its URI ends before /Actions/). */
  async #etagFor(path: string): Promise<string> {
    const resourcePath = path.split('/Actions/', 1)[0] ?? path;
    const { data, headers } = await this.customFetch<JsonObject>(this.baseUrl + resourcePath);
    return headers.get('etag') ?? textOf(data['@odata.etag']) ?? '*';
  }

  /** Follows a 202 to the end of its task; returns the answer to take in its place. */
  async #endOfTask(command: Command, accepted: Answer): Promise<Answer> {
    const done: Answer = { status: 204, headers: accepted.headers, body: '' };
    const path = this.#pathOfLocation(monitorOf(accepted));
    if (path === undefined) return done;
    const { serverName, taskTimeoutMs, taskPollMs } = this.#settings;
    const overdue = `${serverName}: ${path}: the task did not end within ${taskTimeoutMs} ms`;
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(new DriverError('unreachable', overdue)), taskTimeoutMs);
    const signal = AbortSignal.any([this.#signal(), limit.signal]);
    const monitor: Command = { method: 'GET', path, headers: {}, body: undefined };
    try {
      const end = await watchTask(accepted, {
        look: () => caller.run(signal, () => this.#authorised(monitor)),
        askedWaitMs: (answer) => parseRetryAfter(answer.headers.get('retry-after'), this.#deps.now()),
        redact: this.#redactor,
        pollMs: taskPollMs,
        signal,
      });
      if (end.kind === 'answered') return end.answer;
      if (end.kind === 'done') return done;
      const text = `${serverName}: ${command.method} ${command.path}: ${end.message}`;
      throw new RedfishError('refused', this.redact(text), { status: end.status });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A password as it is, and as an echo of what was sent shows it. */
function writings(password: string): string[] {
  return [...new Set([password, JSON.stringify(password).slice(1, -1), encodeURIComponent(password)])];
}

// redfish-client takes the last path segment for the Id, which is empty on BMCs that end their links in "/".
function withPlainMembers(data: JsonObject): JsonObject {
  if (!Array.isArray(data.Members)) return data;
  const Members = objectsOf(data.Members).map((member) => {
    const link = linkOf(member);
    return link === undefined ? member : { ...member, '@odata.id': link.replace(/\/+$/, '') };
  });
  return { ...data, Members: Members.filter((member) => isObject(member) && linkOf(member) !== undefined) };
}
