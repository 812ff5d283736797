import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

/**
 * A smart plug that keeps up one of the dialogues that Shelly (Gen2 RPC, shelly-api-docs.shelly.cloud) and Tasmota
 * (tasmota.github.io/docs/Commands) document: the answers word for word, the state in them that of the outlet.
 */
export interface FakePlug {
  readonly url: string;
  isOn: boolean;
  powerWatts: number;
  /** Method and path of each request, oldest first. */
  readonly requests: string[];
  /** Answers in place of the dialogue. */
  script: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  close(): Promise<void>;
}

type Dialogue = (plug: FakePlug, url: URL) => object | undefined;

export const shelly: Dialogue = (plug, { pathname, searchParams }) => {
  if (searchParams.get('id') !== '0') return undefined;
  if (pathname === '/rpc/Switch.Set') {
    const wasOn = plug.isOn;
    plug.isOn = searchParams.get('on') === 'true';
    return { was_on: wasOn };
  }
  if (pathname !== '/rpc/Switch.GetStatus') return undefined;
  return {
    id: 0,
    source: 'HTTP_in',
    output: plug.isOn,
    apower: plug.powerWatts,
    voltage: 230.4,
    current: 0.922,
    pf: 0.99,
    aenergy: { total: 11_679.6, by_minute: [0, 0, 0], minute_ts: 1_764_019_620 },
    temperature: { tC: 40.1, tF: 104.2 },
  };
};

export const tasmota: Dialogue = (plug, { pathname, searchParams }) => {
  const command = searchParams.get('cmnd')?.toLowerCase();
  if (pathname !== '/cm' || command === undefined) return undefined;
  if (searchParams.get('password') !== 'hunter2-S3cr3t') {
    return { WARNING: 'Need user=<username>&password=<password>' };
  }
  if (command === 'power on') plug.isOn = true;
  if (command === 'power off') plug.isOn = false;
  if (command.startsWith('power')) return { POWER: plug.isOn ? 'ON' : 'OFF' };
  if (command !== 'status 10') return { Command: 'Unknown' };
  return {
    StatusSNS: {
      Time: '2026-11-24T21:00:00',
      ENERGY: {
        TotalStartTime: '2026-01-01T00:00:00',
        Total: 121.407,
        Yesterday: 3.11,
        Today: 2.754,
        Power: plug.powerWatts,
        ApparentPower: 221,
        ReactivePower: 31,
        Factor: 0.99,
        Voltage: 230,
        Current: 0.922,
      },
    },
  };
};

export async function startFakePlug(dialogue: Dialogue): Promise<FakePlug> {
  const server = createServer((request, response) => {
    plug.requests.push(`${request.method} ${request.url}`);
    if (plug.script) return void plug.script(request, response);
    const answer = dialogue(plug, new URL(request.url ?? '/', 'http://plug'));
    const body = answer ?? { code: -105, message: "Argument 'id', value 5 not found!" };
    response.writeHead(answer ? 200 : 500, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const plug: FakePlug = {
    url: `http://127.0.0.1:${address.port}`,
    isOn: false,
    powerWatts: 0,
    requests: [],
    script: undefined,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return plug;
}
