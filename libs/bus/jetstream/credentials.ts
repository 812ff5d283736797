/** A NATS client's options for where to connect and as whom. */
export interface Access {
  readonly servers: string[];
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
}

/**
 * Takes the user out of NATS URLs, which the client itself passes over: `nats://user:password@host:4222`, or
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
  return { servers: bare, ...login };
}
