import { Value } from '@sinclair/typebox/value';
import { capabilitiesOf, type PowerMethod, PowerMethodSchema } from '../events/mod.ts';
import { describeValue, type Finding, type KeyPath, looksSecret } from './configProblem.ts';
import { isMapping } from './configYaml.ts';

/** What the schema of a power method can't say. Takes what may be wrong in shape, and passes over it. */

type Mapping = Record<string, unknown>;

function wrong(path: KeyPath, value: unknown, rule: string): Finding {
  return { path, place: 'value', rule, value: describeValue(path, value) };
}

/** The rules between the rungs of one server. */
export function checkLadder(path: KeyPath, methods: readonly unknown[]): Finding[] {
  const findings: Finding[] = [];
  for (const [index, method] of methods.entries()) {
    if (!isMapping(method) || method.driver !== 'pdu' || index === methods.length - 1) continue;
    const rule = 'must be the last method: a cut outlet takes the BMC with it';
    findings.push(wrong([...path, index, 'driver'], method.driver, rule));
  }
  for (const [index, method] of methods.entries()) {
    if (!isMapping(method) || method.driver !== 'agent') continue;
    const earlier = methods.slice(0, index).filter(isMethod);
    if (!earlier.some((other) => capabilitiesOf(other).has('sleep'))) continue;
    const rule =
      'must stand before other methods that sleep: the first that can does it, and its last look is never asked for';
    findings.push(wrong([...path, index, 'driver'], method.driver, rule));
  }
  const known = methods.filter(isMethod).map(capabilitiesOf);
  if (known.length < methods.length) return findings;
  const can = (capability: 'wake' | 'sleep') => known.some((capabilities) => capabilities.has(capability));
  if (can('sleep') && !can('wake')) {
    const rule = 'must have a method that wakes: what it puts to sleep would never come back';
    findings.push(wrong(path, methods, rule));
  }
  return findings;
}

function isMethod(value: unknown): value is PowerMethod {
  return Value.Check(PowerMethodSchema, value);
}

/** The rules within one method. */
export function checkMethod(path: KeyPath, method: Mapping): Finding[] {
  switch (method.driver) {
    case 'ssh':
      return oneOf(path, method, ['hostKey', 'knownHostsFile'], 'without it any host could take the command');
    case 'exec':
      return secretsIn([...path, 'environment'], method.environment, 'secrets');
    case 'http':
      return checkHttp(path, method);
    case 'pdu':
      return checkPdu(path, method);
    default:
      return [];
  }
}

function oneOf(path: KeyPath, method: Mapping, keys: readonly [string, string], why: string): Finding[] {
  const [one, other] = keys;
  const given = keys.filter((key) => method[key] !== undefined);
  if (given.length === 1) return [];
  const rule =
    given.length === 0 ? `is missing: ${one} or ${other}; ${why}` : `must not stand beside ${other}`;
  return [{ path: [...path, one], place: given.length === 0 ? 'parent' : 'key', rule }];
}

/** What is written in the clear gets into the events: a name that speaks of a secret is refused. */
function secretsIn(path: KeyPath, values: unknown, instead: string): Finding[] {
  const names = isMapping(values) ? Object.keys(values) : [];
  return names
    .filter((name) => looksSecret(name) || /^(authorization|cookie)$/i.test(name))
    .map((name) => ({
      path: [...path, name],
      place: 'key',
      rule: `must be named in ${instead}, by reference`,
    }));
}

function checkHttp(path: KeyPath, method: Mapping): Finding[] {
  const findings = secretsIn([...path, 'headers'], method.headers, 'secretHeaders');
  for (const key of ['wake', 'sleep', 'readPower', 'meter']) {
    const request = method[key];
    if (!isMapping(request)) continue;
    const own = [...path, key];
    if (typeof request.path === 'string') {
      const query = new URLSearchParams(request.path.split('?').slice(1).join('?'));
      const secret = [...query.keys()].some((name) => looksSecret(name));
      if (secret) {
        const rule = 'must not hold a secret: name it in secretQuery, by reference';
        findings.push({ path: [...own, 'path'], place: 'value', rule });
      }
    }
    if (key !== 'readPower' && key !== 'meter') continue;
    findings.push(...oneOf(own, request, ['jsonPath', 'pattern'], 'where the value is in the answer'));
    const { pattern } = request;
    if (typeof pattern === 'string' && !hasGroup(pattern)) {
      const rule = 'must be a regular expression with one group';
      findings.push(wrong([...own, 'pattern'], pattern, rule));
    }
  }
  if (method.onAboveWatts !== undefined && method.meter === undefined)
    findings.push(needsMeter(path, method));
  return findings;
}

function hasGroup(pattern: string): boolean {
  try {
    return (new RegExp(`${pattern}|`).exec('')?.length ?? 0) > 1;
  } catch {
    return false;
  }
}

function needsMeter(path: KeyPath, method: Mapping): Finding {
  const key = method.driver === 'pdu' ? 'wattsOid' : 'meter';
  return wrong([...path, 'onAboveWatts'], method.onAboveWatts, `has no use without ${key}`);
}

function checkPdu(path: KeyPath, method: Mapping): Finding[] {
  const findings = oneOf(path, method, ['community', 'user'], 'how the PDU knows us (SNMP v2c or v3)');
  if (method.onValue !== undefined && method.onValue === method.offValue) {
    findings.push(wrong([...path, 'offValue'], method.offValue, 'must differ from onValue'));
  }
  if (method.onAboveWatts !== undefined && method.wattsOid === undefined)
    findings.push(needsMeter(path, method));
  if (method.cycle === true && method.onAboveWatts === undefined) {
    const rule = 'needs onAboveWatts: a machine that runs must not be cut to wake it';
    findings.push(wrong([...path, 'cycle'], true, rule));
  }
  return findings;
}

interface Address {
  /** The key that holds it, below the method. */
  readonly key: KeyPath;
  readonly value: string;
  /** The same for two methods that switch the same machine. */
  readonly address: string;
  readonly what: string;
}

/** What a method switches. */
export function addressOf(method: Mapping): Address[] {
  const { driver, url, systemId, host, port, macs, outletOid } = method;
  const at = `${String(host).toLowerCase()}:${String(port)}`;
  if (driver === 'redfish' && typeof url === 'string') {
    const address = `redfish ${originOf(url)} ${String(systemId ?? '')}`;
    return [{ key: ['url'], value: url, address, what: systemId === undefined ? 'BMC' : 'BMC and systemId' }];
  }
  if (driver === 'ipmi' && typeof host === 'string') {
    return [{ key: ['host'], value: host, address: `ipmi ${at}`, what: 'BMC' }];
  }
  if (driver === 'pdu' && typeof outletOid === 'string') {
    const address = `pdu ${at} ${outletOid.replace(/^\./, '')}`;
    return [{ key: ['outletOid'], value: outletOid, address, what: 'outlet' }];
  }
  if (driver === 'wol' && Array.isArray(macs)) {
    return macs.flatMap((mac, index) => {
      if (typeof mac !== 'string') return [];
      const address = `mac ${mac.toLowerCase().replaceAll('-', ':')}`;
      return [{ key: ['macs', index], value: mac, address, what: 'network card' }];
    });
  }
  return [];
}

export function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : url.toLowerCase();
}
