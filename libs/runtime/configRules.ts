import { isTimeZone } from '../domain/mod.ts';
import { eventTypes, isEventType } from '../events/mod.ts';
import { describeValue, didYouMean, type Finding, type KeyPath, keyOf } from './configProblem.ts';
import { isMapping } from './configYaml.ts';
import { addressOf, checkLadder, checkMethod, originOf } from './powerRules.ts';

/** `smaller` must not be above `larger`: two dotted keys below the same pool, server, method or section. */
interface Order {
  readonly smaller: string;
  readonly larger: string;
  readonly why: string;
}

const poolOrders: readonly Order[] = [
  {
    smaller: 'healthCheck.fastIntervalMs',
    larger: 'healthCheck.intervalMs',
    why: 'a server that wakes is probed at least as often as one that serves',
  },
  {
    smaller: 'healthCheck.probe.expectStatusMin',
    larger: 'healthCheck.probe.expectStatusMax',
    why: 'no status would be good',
  },
  {
    smaller: 'planner.decideIntervalMs',
    larger: 'planner.leaseMs',
    why: 'each decision would be older than its lease before the next',
  },
  {
    smaller: 'forwarding.connectTimeoutMs',
    larger: 'forwarding.responseTimeoutMs',
    why: 'the response comes after the connection',
  },
];

const serverOrders: readonly Order[] = [
  { smaller: 'energy.offWatts', larger: 'energy.idleWatts', why: 'asleep draws least' },
  { smaller: 'energy.idleWatts', larger: 'energy.busyWatts', why: 'work draws most' },
  { smaller: 'energy.offWatts', larger: 'energy.setupWatts', why: 'asleep draws least' },
  { smaller: 'energy.setupTimeMs', larger: 'wakeTimeoutMs', why: 'each wake would time out' },
];

const methodOrders: readonly Order[] = [
  {
    smaller: 'requestTimeoutMs',
    larger: 'taskTimeoutMs',
    why: 'a task is watched by requests',
  },
  {
    smaller: 'connectTimeoutMs',
    larger: 'commandTimeoutMs',
    why: 'the command comes after the connection',
  },
];

const boundsOrders: readonly Order[] = [
  { smaller: 'quarantineMs', larger: 'maxQuarantineMs', why: 'it only gets longer' },
  { smaller: 'sampleIntervalMs', larger: 'proxyLeaseMs', why: 'each proxy would always seem silent' },
  { smaller: 'heartbeatIntervalMs', larger: 'heartbeatLeaseMs', why: 'each server would always seem silent' },
  { smaller: 'proxyLeaseMs', larger: 'proxyGoneMs', why: 'silent comes before gone' },
];

/**
 * What the schema can't say: rules between keys, servers and pools. Takes the value with its defaults filled in,
 * right or wrong in shape: what has the wrong shape is passed over, so that all mistakes of a file come at once.
 */
export function checkRules(value: unknown): Finding[] {
  const config = isMapping(value) ? value : {};
  const pools = entriesOf(config.pools);
  const servers = entriesOf(config.servers);
  return [
    ...pools.flatMap(([name, pool]) => inOrder(poolOrders, pool, ['pools', name])),
    ...poolSizes(pools, servers),
    ...schedulesOf(pools, servers),
    ...sharedRoutes(pools),
    ...servers.flatMap(([name, server]) => checkServer(name, server, pools)),
    ...sharedAddresses(servers),
    ...inOrder(boundsOrders, config.bounds, ['bounds']),
    ...unknownEvents(config.notifications),
    ...proxiedByNobody(config.proxy),
  ];
}

function finding(path: KeyPath, value: unknown, rule: string): Finding {
  return { path, place: 'value', rule, value: describeValue(path, value) };
}

function entriesOf(value: unknown): [string, Record<string, unknown>][] {
  if (!isMapping(value)) return [];
  return Object.entries(value).filter((entry): entry is [string, Record<string, unknown>] =>
    isMapping(entry[1]),
  );
}

function get(value: unknown, dotted: string): unknown {
  let at = value;
  for (const key of dotted.split('.')) at = isMapping(at) ? at[key] : undefined;
  return at;
}

function inOrder(orders: readonly Order[], value: unknown, path: KeyPath): Finding[] {
  return orders.flatMap(({ smaller, larger, why }) => {
    const low = get(value, smaller);
    const high = get(value, larger);
    if (typeof low !== 'number' || typeof high !== 'number' || low <= high) return [];
    const rule = `must be at most ${larger}, which is ${high}: ${why}`;
    return [finding([...path, ...smaller.split('.')], low, rule)];
  });
}

/** A port that would take nobody's connections. */
function proxiedByNobody(proxy: unknown): Finding[] {
  const trusted = get(proxy, 'trustedProxies');
  if (!Array.isArray(trusted) || trusted.length > 0) return [];
  return ['http', 'https'].flatMap((port) => {
    if (get(proxy, `proxyProtocol.${port}`) !== true) return [];
    const rule = 'must be false while trustedProxies is empty: only those may connect there';
    return [finding(['proxy', 'proxyProtocol', port], true, rule)];
  });
}

/** A webhook that waits for an event that never comes. */
function unknownEvents(notifications: unknown): Finding[] {
  const webhooks = isMapping(notifications) ? notifications.webhooks : [];
  return (Array.isArray(webhooks) ? webhooks : []).flatMap((webhook, index) => {
    const events = isMapping(webhook) && Array.isArray(webhook.events) ? webhook.events : [];
    return events.flatMap((name, at) => {
      if (typeof name !== 'string' || isEventType(name)) return [];
      const rule = `must be a type of event${didYouMean(name, eventTypes)}`;
      return [finding(['notifications', 'webhooks', index, 'events', at], name, rule)];
    });
  });
}

function poolSizes(
  pools: readonly [string, Record<string, unknown>][],
  servers: readonly [string, Record<string, unknown>][],
): Finding[] {
  const sizes = new Map<unknown, number>();
  for (const [, { pool }] of servers) sizes.set(pool, (sizes.get(pool) ?? 0) + 1);
  return pools.flatMap(([name, { minServers, spareServers }]) => {
    if (typeof minServers !== 'number' || typeof spareServers !== 'number') return [];
    const size = sizes.get(name) ?? 0;
    if (minServers + spareServers <= size) return [];
    const rule = `minServers and spareServers together must be at most the servers of the pool, which are ${size}`;
    const key = minServers > size || spareServers === 0 ? 'minServers' : 'spareServers';
    const value = key === 'minServers' ? minServers : spareServers;
    return [finding(['pools', name, key], value, rule)];
  });
}

/** A schedule names a time zone that exists and no more servers than there are. */
function schedulesOf(
  pools: readonly [string, Record<string, unknown>][],
  servers: readonly [string, Record<string, unknown>][],
): Finding[] {
  return pools.flatMap(([name, pool]) => {
    const schedules = get(pool, 'planner.schedules');
    const size = servers.filter(([, server]) => server.pool === name).length;
    return (Array.isArray(schedules) ? schedules : []).flatMap((schedule: unknown, index) => {
      const path = ['pools', name, 'planner', 'schedules', index];
      const zone = get(schedule, 'timeZone');
      const minServers = get(schedule, 'minServers');
      const findings: Finding[] = [];
      if (typeof zone === 'string' && !isTimeZone(zone)) {
        findings.push(
          finding([...path, 'timeZone'], zone, 'must be an IANA time zone, such as Europe/Berlin'),
        );
      }
      if (typeof minServers === 'number' && minServers > size) {
        const rule = `must be at most the servers of the pool, which are ${size}`;
        findings.push(finding([...path, 'minServers'], minServers, rule));
      }
      return findings;
    });
  });
}

function sharedRoutes(pools: readonly [string, Record<string, unknown>][]): Finding[] {
  const takenBy = new Map<string, string>();
  const findings: Finding[] = [];
  for (const [name, { routes }] of pools) {
    for (const [index, route] of (Array.isArray(routes) ? routes : []).entries()) {
      const { host, pathPrefix } = isMapping(route) ? route : {};
      if (typeof pathPrefix !== 'string') continue;
      const path = ['pools', name, 'routes', index] as const;
      if (typeof host === 'string' && !/^[^\s/:@]+$|^\[?[0-9a-f:]+\]?$/i.test(host)) {
        findings.push(finding([...path, 'host'], host, 'must be a host name without scheme, port and path'));
        continue;
      }
      const route_ = `${String(host ?? '*').toLowerCase()} ${pathPrefix.replace(/\/+$/, '')}/`;
      const other = takenBy.get(route_);
      if (other === undefined) takenBy.set(route_, name);
      else if (other !== name) {
        const rule = `pool "${other}" has this host and path already: no request would come here`;
        findings.push(finding([...path, 'pathPrefix'], pathPrefix, rule));
      }
    }
  }
  return findings;
}

function checkServer(
  name: string,
  server: Record<string, unknown>,
  pools: readonly [string, Record<string, unknown>][],
): Finding[] {
  const path = ['servers', name] as const;
  const findings = [...inOrder(serverOrders, server, path), ...checkUrl([...path, 'url'], server.url)];
  const { pool } = server;
  const names = pools.map(([known]) => known);
  if (typeof pool === 'string' && !names.includes(pool)) {
    findings.push(finding([...path, 'pool'], pool, `must be the name of a pool${didYouMean(pool, names)}`));
  }
  const methods = Array.isArray(server.power) ? server.power : [];
  findings.push(...checkLadder([...path, 'power'], methods));
  for (const [index, method] of methods.entries()) {
    if (!isMapping(method)) continue;
    const own = [...path, 'power', index] as const;
    findings.push(...checkMethod(own, method));
    findings.push(...inOrder(methodOrders, method, own), ...checkUrl([...own, 'url'], method.url));
    findings.push(...checkTls([...own, 'tls'], method));
    const { confirmTimeoutMs } = method;
    if (typeof confirmTimeoutMs === 'number' && typeof server.wakeTimeoutMs === 'number') {
      if (confirmTimeoutMs <= server.wakeTimeoutMs) continue;
      const rule = `must be at most the server's wakeTimeoutMs, which is ${server.wakeTimeoutMs}`;
      findings.push(finding([...own, 'confirmTimeoutMs'], confirmTimeoutMs, rule));
    }
  }
  return findings;
}

/** What the pattern of a URL lets through and no server can have. */
function checkUrl(path: KeyPath, url: unknown): Finding[] {
  if (typeof url !== 'string' || !/^https?:\/\/[^/?#@\s]+\/?$/.test(url)) return [];
  return URL.canParse(url) ? [] : [finding(path, url, 'must be a URL with a valid host and port')];
}

function checkTls(path: KeyPath, method: Record<string, unknown>): Finding[] {
  const { tls, url } = method;
  if (!isMapping(tls)) return [];
  const findings: Finding[] = [];
  for (const other of ['caFile', 'fingerprint256']) {
    if (tls.insecure !== true || tls[other] === undefined) continue;
    const rule = `must not be true beside ${other}: it would accept any other certificate too`;
    findings.push(finding([...path, 'insecure'], true, rule));
  }
  if (typeof url === 'string' && url.startsWith('http://')) {
    findings.push({
      path,
      place: 'key',
      rule: 'has no use without an https url',
      value: describeValue(path, tls),
    });
  }
  return findings;
}

/** Two servers behind one address or one BMC: a power button would be pressed for the wrong machine. */
function sharedAddresses(servers: readonly [string, Record<string, unknown>][]): Finding[] {
  const takenBy = new Map<string, { readonly server: string; readonly key: string }>();
  const findings: Finding[] = [];
  const take = (server: string, path: KeyPath, address: string, url: string, what: string) => {
    const other = takenBy.get(address);
    if (other === undefined) takenBy.set(address, { server, key: keyOf(path) });
    else if (other.server !== server)
      findings.push(finding(path, url, `${other.key} has this ${what} already`));
  };
  for (const [name, { url, power }] of servers) {
    if (typeof url === 'string') take(name, ['servers', name, 'url'], `url ${originOf(url)}`, url, 'address');
    for (const [index, method] of (Array.isArray(power) ? power : []).entries()) {
      for (const { key, value, address, what } of isMapping(method) ? addressOf(method) : []) {
        take(name, ['servers', name, 'power', index, ...key], address, value, what);
      }
    }
  }
  return findings;
}
