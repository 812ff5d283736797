import type { FleetConfig } from '../../libs/events/mod.ts';

interface CompiledRoute {
  readonly host: string | undefined;
  readonly pathPrefix: string;
  readonly pool: string;
}

/** Finds the pool of a request: by its host (without port, any case) and its path. */
export type RouteTable = (host: string | undefined, path: string) => string | undefined;

/**
 * Compiles the routes of all pools. A route that names the host goes before one that takes any; of those, the
 * longest path prefix wins. A prefix ends at a path segment: `/api` takes `/api` and `/api/x`, not `/apix`.
 */
export function compileRoutes(config: FleetConfig): RouteTable {
  const routes = Object.entries(config.pools)
    .flatMap(([pool, { routes }]) =>
      routes.map(({ host, pathPrefix }): CompiledRoute => ({ host: host?.toLowerCase(), pathPrefix, pool })),
    )
    .sort(
      (a, b) =>
        Number(b.host !== undefined) - Number(a.host !== undefined) ||
        b.pathPrefix.length - a.pathPrefix.length,
    );
  const [only] = routes;
  if (routes.length === 1 && only?.host === undefined && only?.pathPrefix === '/') return () => only.pool;
  return (host, path) => {
    const name = hostName(host);
    return routes.find(
      (route) => (route.host === undefined || route.host === name) && hasPrefix(path, route.pathPrefix),
    )?.pool;
  };
}

function hostName(host: string | undefined): string | undefined {
  return host?.replace(/:\d+$/, '').toLowerCase();
}

function hasPrefix(path: string, prefix: string): boolean {
  if (!path.startsWith(prefix)) return false;
  const next = path[prefix.length];
  return prefix.endsWith('/') || next === undefined || next === '/' || next === '?';
}
