import { parseListen } from '../../libs/runtime/service.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** What the console is told by its environment, beside what every service is. */
export interface ConsoleSettings {
  readonly host: string;
  readonly port: number;
  /** Where the login token is (`env:NAME`, `file:/path`); undefined: no login, under this machine's own names only. */
  readonly token: string | undefined;
  /** How the page is reached from outside, when a reverse proxy stands before it, such as https://console.example. */
  readonly origin: string | undefined;
  /** Where spans are taken (OTLP/HTTP with JSON); undefined: nowhere. */
  readonly otlp: { readonly host: string; readonly port: number } | undefined;
  /** Where traces are looked at, such as http://localhost:16686. */
  readonly jaegerUrl: string | undefined;
}

/**
 * Reads `NEMURI_CONSOLE_LISTEN` (default 127.0.0.1:8090), `NEMURI_CONSOLE_TOKEN`, `NEMURI_CONSOLE_ORIGIN`,
 * `NEMURI_OTLP_LISTEN` and `NEMURI_CONSOLE_JAEGER_URL`.
 * @throws Error naming the variable, the rule and (but for what may be a secret) the value. Beyond this machine there is no
 * console without a token, unless `none` says that something else keeps others away (such as a container's port that
 * is published on this machine only).
 */
export function consoleSettings(env: Environment): ConsoleSettings {
  const { host, port } = parseListen('NEMURI_CONSOLE_LISTEN', env.NEMURI_CONSOLE_LISTEN ?? '127.0.0.1:8090');
  const isOpen = env.NEMURI_CONSOLE_TOKEN === 'none';
  const token = isOpen ? undefined : env.NEMURI_CONSOLE_TOKEN || undefined;
  if (token !== undefined && !/^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/.test(token))
    throw new Error(
      'NEMURI_CONSOLE_TOKEN must say where the token is: env:NAME or file:/path (got (hidden))',
    );
  if (token === undefined && !isOpen && !isLoopback(host)) {
    throw new Error(
      `NEMURI_CONSOLE_TOKEN must be set (env:NAME, file:/path, or none) when NEMURI_CONSOLE_LISTEN is not on this machine only (got ${host})`,
    );
  }
  return {
    host,
    port,
    token,
    origin: httpUrl('NEMURI_CONSOLE_ORIGIN', env.NEMURI_CONSOLE_ORIGIN)?.origin,
    otlp: env.NEMURI_OTLP_LISTEN ? parseListen('NEMURI_OTLP_LISTEN', env.NEMURI_OTLP_LISTEN) : undefined,
    jaegerUrl: httpUrl('NEMURI_CONSOLE_JAEGER_URL', env.NEMURI_CONSOLE_JAEGER_URL)?.href.replace(/\/$/, ''),
  };
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function httpUrl(variable: string, value: string | undefined): URL | undefined {
  if (!value) return undefined;
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  throw new Error(`${variable} must be an http or https URL (got "${value}")`);
}
