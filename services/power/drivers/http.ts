import { randomBytes } from 'node:crypto';
import { capabilitiesOf, type HttpMethod } from '../../../libs/events/mod.ts';
import { type DriverDependencies, DriverError, type PowerDriver, type PowerState } from './driver.ts';
import { createConnection, type Request } from './httpConnection.ts';
import { digestAuthorization } from './httpDigest.ts';
import { believed, powerOfOutlet, wattsOf } from './meterReading.ts';
import { type Answer, kindOfStatus, parseRetryAfter } from './redfishOutcome.ts';
import { createSecretKeeper, oneLine } from './secretKeeper.ts';

type ConfiguredRequest = NonNullable<HttpMethod['wake']>;
type Place = { readonly jsonPath?: string; readonly pattern?: string };

const maxBodyBytes = 64 * 1024;

/** The value at a path such as `switches.0.output` in a JSON text; undefined: not there, or no JSON. */
export function valueAt(body: string, jsonPath: string): unknown {
  let at: unknown;
  try {
    at = JSON.parse(body);
  } catch {
    return undefined;
  }
  for (const key of jsonPath.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}

/** What a configured place of an answer holds, as text; undefined when nothing is there. */
export function textAt(body: string, { jsonPath, pattern }: Place): string | undefined {
  if (pattern !== undefined) return new RegExp(pattern, 'm').exec(body)?.[1];
  const value = jsonPath === undefined ? undefined : valueAt(body, jsonPath);
  return ['string', 'number', 'boolean'].includes(typeof value) ? String(value) : undefined;
}

/**
 * Switches one machine by a smart plug or PDU with an HTTP interface. Where the state can be read, a command that
 * is fulfilled already is not sent. A plug cuts hard: `sleep` does so however it is asked.
 */
export function createHttpDriver(
  serverName: string,
  method: HttpMethod,
  deps: DriverDependencies,
): PowerDriver {
  const { origin } = new URL(method.url);
  const { tls, requestTimeoutMs } = method;
  const settings = { serverName, protocol: 'http', origin, tls, requestTimeoutMs } as const;
  const connection = createConnection({ ...settings, maxBodyBytes, maxConnections: 2 });
  const secrets = createSecretKeeper(serverName, deps.resolveSecret);

  async function resolved(references: Readonly<Record<string, string>>): Promise<Record<string, string>> {
    const entries = Object.entries(references).map(async ([name, reference]) => {
      const value = await secrets.read(reference);
      return [name, value] as const;
    });
    return Object.fromEntries(await Promise.all(entries));
  }

  async function authorized(request: Request, signal: AbortSignal): Promise<Answer> {
    const { auth } = method;
    if (!auth) return connection.send(request, signal);
    const password = await secrets.read(auth.password);
    const withHeader = (authorization: string) =>
      connection.send({ ...request, headers: { ...request.headers, authorization } }, signal);
    if (auth.kind === 'basic') {
      const credentials = Buffer.from(`${auth.username}:${password}`).toString('base64');
      secrets.hide(credentials);
      return withHeader(`Basic ${credentials}`);
    }
    const answer = await connection.send(request, signal);
    if (answer.status !== 401) return answer;
    const { username } = auth;
    const cnonce = randomBytes(8).toString('hex');
    const signed = { method: request.method, path: request.path, username, password, cnonce };
    const authorization = digestAuthorization(answer.headers.get('www-authenticate'), signed);
    return authorization === undefined ? answer : withHeader(authorization);
  }

  async function ask(act: string, configured: ConfiguredRequest, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const query = new URLSearchParams(await resolved(method.secretQuery)).toString();
    const join = configured.path.includes('?') ? '&' : '?';
    const request: Request = {
      method: configured.method,
      path: query === '' ? configured.path : `${configured.path}${join}${query}`,
      headers: { ...method.headers, ...(await resolved(method.secretHeaders)) },
      body: configured.body,
      once: act === 'wake' || act === 'sleep',
    };
    const answer = await authorized(request, signal);
    if (answer.status >= 200 && answer.status < 300) return answer.body;
    const retryAfterMs = parseRetryAfter(answer.headers.get('retry-after'), deps.now());
    const told = oneLine(answer.body, secrets.redact);
    throw new DriverError(
      kindOfStatus(answer.status),
      `${serverName}: ${act} by http: status ${answer.status}${told ? `: ${told}` : ''}`,
      retryAfterMs === undefined ? {} : { retryAfterMs },
    );
  }

  function needed<T>(act: string, configured: T | undefined): T {
    if (configured !== undefined) return configured;
    throw new DriverError('unsupported', `${serverName}: no request for ${act} is configured`);
  }

  async function placedIn(act: string, configured: ConfiguredRequest & Place, signal: AbortSignal) {
    const body = await ask(act, configured, signal);
    const text = textAt(body, configured);
    if (text !== undefined) return text;
    const place = configured.jsonPath ?? configured.pattern;
    throw new DriverError(
      'protocol',
      `${serverName}: ${act}: the answer has no ${place}: ${oneLine(body, secrets.redact)}`,
    );
  }

  async function readWatts(signal: AbortSignal): Promise<number> {
    const text = await placedIn('meter', needed('meter', method.meter), signal);
    const watts = wattsOf(text);
    if (watts !== undefined) return watts;
    const got = oneLine(text, secrets.redact);
    throw new DriverError('protocol', `${serverName}: meter: no number of watts (got "${got}")`);
  }

  async function readPower(signal: AbortSignal): Promise<PowerState> {
    const configured = needed('readPower', method.readPower);
    const value = (await placedIn('readPower', configured, signal)).toLowerCase();
    const { on, off } = configured;
    if (value === off.toLowerCase()) return 'off';
    if (value === on.toLowerCase()) {
      const watts = method.onAboveWatts === undefined ? undefined : await readWatts(signal);
      return powerOfOutlet('on', watts, method.onAboveWatts);
    }
    const got = oneLine(value, secrets.redact);
    throw new DriverError(
      'protocol',
      `${serverName}: readPower: neither "${on}" nor "${off}" (got "${got}")`,
    );
  }

  async function bring(act: 'wake' | 'sleep', wanted: 'on' | 'off', signal: AbortSignal): Promise<void> {
    const configured = needed(act, method[act]);
    if (method.readPower && (await readPower(signal)) === wanted) return;
    await ask(act, configured, signal);
  }

  return {
    name: 'http',
    capabilities: capabilitiesOf(method),
    wake: (signal) => bring('wake', 'on', signal),
    sleep: (_how, signal) => bring('sleep', 'off', signal),
    readPower,
    async meter(signal) {
      const source = `${origin}${method.meter?.path ?? ''}`;
      return believed(await readWatts(signal), source, method.readPower && (() => readPower(signal)));
    },
    close: () => connection.close(),
  };
}
