import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/**
 * What smart plugs say, whole: status, headers and body of every answer that the http driver meets. Provenance: not
 * recorded from a device (what was, in parts, is in recordedPlugs.ts). Fields, their order and their types are those
 * that the vendors document, headers and challenges those that users report; figures that a real plug would measure
 * are made up.
 *
 * - Shelly, first generation: shelly-api-docs.shelly.cloud/gen1, "Shelly Plug/PlugS" (/relay/0, /meter/0), and its
 *   "restrict login" by basic authentication.
 * - Shelly, second generation and later: shelly-api-docs.shelly.cloud/gen2, Switch (GetStatus, Set) and General,
 *   Authentication; the challenge of firmware 1 as in cakephp/cakephp#17035, that of firmware 2.0.0, which counts
 *   each nonce by RFC 7616, as in windkh/node-red-contrib-shelly#296 and iobroker-community-adapters/ioBroker.shelly#1588.
 * - Tasmota: tasmota.github.io/docs/Commands (Power, Status 8, Status 10; WebPassword), docs/Power-Monitoring.
 */
export interface PlugState {
  isOn: boolean;
  powerWatts: number;
}

export interface PlugRequest {
  readonly method: string;
  /** As sent, with its query. */
  readonly target: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
}

export interface PlugAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type Dialogue = (plug: PlugState, request: PlugRequest) => PlugAnswer;

function json(status: number, body: object, headers: Readonly<Record<string, string>>): PlugAnswer {
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) };
}

/** A Shelly Plug S. @param login `user:password` of "restrict login"; left out: open to all. */
export function shellyGen1(login?: string): Dialogue {
  const headers = { server: 'Mongoose/6.18', connection: 'close' };
  return (plug, { url: { pathname, searchParams }, headers: { authorization } }) => {
    if (login !== undefined && authorization !== `Basic ${Buffer.from(login).toString('base64')}`) {
      const challenge = { 'www-authenticate': 'Basic realm="shellyplug-s-7A3F2C"' };
      return { status: 401, headers: { ...headers, ...challenge }, body: '401 Unauthorized' };
    }
    if (pathname === '/meter/0') {
      const { powerWatts } = plug;
      const counters = [powerWatts, powerWatts, powerWatts];
      const meter = { power: powerWatts, overpower: 0, is_valid: true, timestamp: 1_764_019_620, counters };
      return json(200, { ...meter, total: 184_213 }, headers);
    }
    if (pathname !== '/relay/0') return { status: 404, headers, body: 'Not Found' };
    const turn = searchParams.get('turn');
    if (turn === 'on' || turn === 'off') plug.isOn = turn === 'on';
    else if (turn !== null) return { status: 400, headers, body: 'Bad turn!' };
    const timer = { has_timer: false, timer_started: 0, timer_duration: 0, timer_remaining: 0 };
    return json(200, { ison: plug.isOn, ...timer, overpower: false, source: 'http' }, headers);
  };
}

const realm = 'shellyplus1pm-44179393e8a8';

/** Hex by firmware 1, base64 with its padding by firmware 2, where each is good for one count, from 1. */
function nonceOf(firmware: 1 | 2, turn: number): string {
  const number = 0x63f8afdb + turn;
  return firmware === 1 ? number.toString(16) : Buffer.from(`${number}`).toString('base64');
}

/** A Shelly Plus 1PM. @param password of its user `admin`, asked for by digest; left out: open to all. */
export function shellyGen2(password?: string, firmware: 1 | 2 = 1): Dialogue {
  const headers = { server: 'ShellyHTTP/1.0.0', connection: 'close' };
  const used = new Set<string>();
  let turn = 0;
  return (plug, request) => {
    const { pathname, searchParams } = request.url;
    if (password !== undefined) {
      const given = digestOf(request, password);
      const fresh = given !== undefined && !used.has(given.nonce);
      const counts = firmware === 1 || (given?.count === '00000001' && fresh);
      if (given?.isRight) used.add(given.nonce);
      if (!given?.isRight || !counts) {
        const nonce = nonceOf(firmware, turn++);
        const stale = given?.isRight ? ', stale=true' : '';
        const challenge = `Digest qop="auth", realm="${realm}", nonce="${nonce}", algorithm=SHA-256${stale}`;
        return { status: 401, headers: { ...headers, 'www-authenticate': challenge }, body: '' };
      }
    }
    const id = searchParams.get('id');
    if (pathname !== '/rpc/Switch.Set' && pathname !== '/rpc/Switch.GetStatus') {
      return json(404, { code: 404, message: `No handler for ${pathname.slice(5)}` }, headers);
    }
    if (id !== '0') {
      return json(500, { code: -105, message: `Argument 'id', value ${id} not found!` }, headers);
    }
    if (pathname === '/rpc/Switch.Set') {
      const wasOn = plug.isOn;
      plug.isOn = searchParams.get('on') === 'true';
      return json(200, { was_on: wasOn }, headers);
    }
    const energy = { total: 11_679.6, by_minute: [0, 0, 0], minute_ts: 1_764_019_620 };
    const status = { id: 0, source: 'HTTP_in', output: plug.isOn, apower: plug.powerWatts, voltage: 230.4 };
    const rest = { freq: 50, current: 0.922, pf: 0.99, aenergy: energy, ret_aenergy: energy };
    return json(200, { ...status, ...rest, temperature: { tC: 40.1, tF: 104.2 } }, headers);
  };
}

/** What an `Authorization: Digest` says (RFC 7616, 3.4), and whether it knows the password. */
function digestOf({ method, target, headers }: PlugRequest, password: string) {
  const fields = new Map(
    [...(headers.authorization ?? '').matchAll(/(\w+)=(?:"([^"]*)"|([^\s,]+))/g)].map(
      ([, key = '', quoted, bare]) => [key, quoted ?? bare ?? ''],
    ),
  );
  const nonce = fields.get('nonce');
  if (nonce === undefined || fields.get('realm') !== realm || fields.get('uri') !== target) return undefined;
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
  const middle = ['nonce', 'nc', 'cnonce', 'qop'].map((key) => fields.get(key)).join(':');
  const secret = sha256(`admin:${realm}:${password}`);
  const expected = sha256(`${secret}:${middle}:${sha256(`${method}:${target}`)}`);
  return { nonce, count: fields.get('nc'), isRight: fields.get('response') === expected };
}

/** A plug with Tasmota. @param webPassword of its user `admin`; left out: open to all. */
export function tasmota(webPassword?: string): Dialogue {
  const headers = {
    server: 'Tasmota/14.2.0 (ESP8266EX)',
    'cache-control': 'no-cache, no-store, must-revalidate',
    pragma: 'no-cache',
    expires: '-1',
    'access-control-allow-origin': '*',
    connection: 'close',
  };
  return (plug, { url: { pathname, searchParams } }) => {
    const command = searchParams.get('cmnd')?.toLowerCase();
    if (pathname !== '/cm') return { status: 404, headers, body: 'File Not Found' };
    const isKnown = searchParams.get('user') === 'admin' && searchParams.get('password') === webPassword;
    if (webPassword !== undefined && !isKnown) {
      return json(401, { WARNING: 'Need user=<username>&password=<password>' }, headers);
    }
    if (command === undefined) return json(200, { WARNING: 'Enter command cmnd=' }, headers);
    if (command === 'power on' || command === 'power off') plug.isOn = command === 'power on';
    if (/^power( on| off)?$/.test(command)) return json(200, { POWER: plug.isOn ? 'ON' : 'OFF' }, headers);
    if (command !== 'status 8' && command !== 'status 10') return json(200, { Command: 'Unknown' }, headers);
    const counts = { TotalStartTime: '2026-01-01T00:00:00', Total: 121.407, Yesterday: 3.11, Today: 2.754 };
    const powers = { Power: plug.powerWatts, ApparentPower: 221, ReactivePower: 31, Factor: 0.99 };
    const ENERGY = { ...counts, ...powers, Voltage: 230, Current: 0.922 };
    return json(200, { StatusSNS: { Time: '2026-11-24T21:00:00', ENERGY } }, headers);
  };
}
