import type { TlsOptions } from '@nats-io/transport-node';
import type { BusLogin } from './options.ts';

/** A NATS client's options for where to connect and as whom. */
export interface Access {
  readonly servers: string[];
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  readonly tls?: TlsOptions;
}

/**
 * Takes the user out of NATS URLs, and from `tls://` that nothing may be sent in the clear, both of which the client
 * itself passes over: `nats://user:password@host:4222`, or
 * `nats://token@host:4222`. The first URL that names one holds for all: they are of one cluster. Percent-encoded.
 */
export function accessOf(servers: string | readonly string[]): Access {
  const urls = typeof servers === 'string' ? [servers] : servers;
  let login: Omit<Access, 'servers'> | undefined;
  const bare = urls.map((url) => {
    const [, scheme = '', user, password, rest = ''] =
      /^([a-z]+:\/\/)?(?:([^:@/]+)(?::([^@/]*))?@)?(.*)$/i.exec(url) ?? [];
    if (user !== undefined)
      login ??=
        password === undefined
          ? { token: decodeURIComponent(user) }
          : { user: decodeURIComponent(user), pass: decodeURIComponent(password) };
    return `${scheme}${rest}`;
  });
  const isTls = bare.some((url) => /^tls:\/\//i.test(url));
  return { servers: bare, ...login, ...(isTls ? { tls: {} } : {}) };
}

/**
 * A user's answers come to inboxes of its own, `_INBOX.<user>.>`: with rights that name them (`natsUsers`) no user can
 * listen to the answers of another. Without a user, or by a name that is no token of a subject: the client's default.
 */
export function inboxPrefixOf(user: string | undefined): { readonly inboxPrefix?: string } {
  return user !== undefined && /^[\w-]+$/.test(user) ? { inboxPrefix: `_INBOX.${user}` } : {};
}

/** The client's options for where to connect, as whom, how, and on which inboxes we are answered. */
export function loginOf(options: BusLogin & { readonly servers: string | readonly string[] }) {
  const { servers, user, password, token, tls } = options;
  const access = {
    ...accessOf(servers),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { pass: password }),
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { tls }),
  };
  return { ...access, ...inboxPrefixOf(access.user) };
}
