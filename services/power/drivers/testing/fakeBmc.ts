import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { generate } from 'selfsigned';

/** A small BMC on a real HTTPS server, made to go wrong: any answer can be replaced by a script. */

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Script = (request: SeenRequest, response: ServerResponse) => void;

export interface Certificate {
  readonly key: string;
  readonly cert: string;
  readonly fingerprint256: string;
}

export interface FakeBmc {
  readonly url: string;
  readonly requests: SeenRequest[];
  /** Tokens of open sessions. */
  readonly sessions: Set<string>;
  readonly openSockets: Set<Socket>;
  /** Path to resource; a test changes it as it likes. */
  readonly resources: Map<string, Record<string, unknown>>;
  /** The next `times` requests of this method and path are answered by the script. */
  script(method: string, path: string, script: Script, times?: number): void;
  system(): Record<string, unknown>;
  resets(): string[];
  count(method: string, path: string): number;
  close(): Promise<void>;
}

export const username = 'nemuri';
export const password = 'hunter2/äß"\\x';
export const systemPath = '/redfish/v1/Systems/1';
export const resetPath = `${systemPath}/Actions/ComputerSystem.Reset`;
export const sessionsPath = '/redfish/v1/SessionService/Sessions';

/** A self-signed certificate for 127.0.0.1. */
export async function createCertificate(): Promise<Certificate> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'bmc.test' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
  });
  return { key, cert, fingerprint256: new X509Certificate(cert).fingerprint256 };
}

export function reply(
  response: ServerResponse,
  status: number,
  body?: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
}

/** An error body as DSP0266 has it. */
export function errorBody(message: string, messageId = 'Base.1.8.GeneralError') {
  return {
    error: { code: messageId, '@Message.ExtendedInfo': [{ MessageId: messageId, Message: message }] },
  };
}

function defaultResources(): Map<string, Record<string, unknown>> {
  const link = (path: string) => ({ '@odata.id': path });
  return new Map<string, Record<string, unknown>>([
    ['/redfish/v1', { Links: { Sessions: link(sessionsPath) }, Systems: link('/redfish/v1/Systems') }],
    ['/redfish/v1/SessionService', { SessionTimeout: 0, ServiceEnabled: true }],
    ['/redfish/v1/Systems', { Members: [link(systemPath)] }],
    [
      systemPath,
      {
        '@odata.id': systemPath,
        PowerState: 'Off',
        Links: { Chassis: [link('/redfish/v1/Chassis/1')] },
        Actions: {
          '#ComputerSystem.Reset': {
            target: resetPath,
            'ResetType@Redfish.AllowableValues': ['On', 'ForceOff', 'GracefulShutdown', 'PushPowerButton'],
          },
        },
      },
    ],
    ['/redfish/v1/Chassis', { Members: [link('/redfish/v1/Chassis/1')] }],
    ['/redfish/v1/Chassis/1', { Power: link('/redfish/v1/Chassis/1/Power') }],
    ['/redfish/v1/Chassis/1/Power', { PowerControl: [{ PowerConsumedWatts: 150 }] }],
  ]);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

interface Scripted {
  readonly method: string;
  readonly path: string;
  readonly script: Script;
  left: number;
}

export async function createFakeBmc(
  certificate: Certificate,
  resources: Map<string, Record<string, unknown>> = defaultResources(),
): Promise<FakeBmc> {
  const requests: SeenRequest[] = [];
  const sessions = new Set<string>();
  const openSockets = new Set<Socket>();
  const scripts: Scripted[] = [];
  const basic = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  let opened = 0;

  function login(body: string, response: ServerResponse) {
    const said = JSON.parse(body);
    if (said.UserName !== username || said.Password !== password)
      return reply(response, 401, errorBody(`${said.Password} is wrong`));
    opened += 1;
    const token = `token-${opened}-secret`;
    sessions.add(token);
    // A host name that does not resolve, as real BMCs write it.
    const location = `https://bmc.invalid${sessionsPath}/${opened}`;
    return reply(response, 201, { Id: String(opened) }, { 'x-auth-token': token, location });
  }

  function reset(body: string, response: ServerResponse) {
    const { ResetType: type } = JSON.parse(body);
    const system = resources.get(systemPath);
    if (system) system.PowerState = type.endsWith('Off') || type === 'GracefulShutdown' ? 'Off' : 'On';
    reply(response, 204);
  }

  function answer(seen: SeenRequest, response: ServerResponse) {
    const { method, path, headers, body } = seen;
    if (method === 'POST' && path === sessionsPath) return login(body, response);
    const token = String(headers['x-auth-token']);
    const known = sessions.has(token) || headers.authorization === basic;
    if (!known && path !== '/redfish/v1') return reply(response, 401, errorBody('no session'));
    if (method === 'DELETE' && path.startsWith(sessionsPath)) {
      sessions.delete(token);
      return reply(response, 204);
    }
    if (method === 'POST' && path === resetPath) return reset(body, response);
    const resource = resources.get(path);
    return resource ? reply(response, 200, resource) : reply(response, 404, errorBody('not here'));
  }

  const server = createServer(certificate, async (request, response) => {
    const body = await readBody(request);
    const seen = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body };
    requests.push(seen);
    const scripted = scripts.find(
      ({ method, path, left }) => method === seen.method && path === seen.path && left > 0,
    );
    if (!scripted) return answer(seen, response);
    scripted.left -= 1;
    return scripted.script(seen, response);
  });
  server.on('secureConnection', (socket) => {
    openSockets.add(socket);
    socket.on('close', () => openSockets.delete(socket));
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    sessions,
    openSockets,
    resources,
    script: (method, path, script, times = Number.POSITIVE_INFINITY) => {
      scripts.push({ method, path, script, left: times });
    },
    system: () => resources.get(systemPath) ?? {},
    resets: () =>
      requests
        .filter(({ method, path }) => method === 'POST' && path === resetPath)
        .map(({ body }) => JSON.parse(body).ResetType),
    count: (method, path) => requests.filter((seen) => seen.method === method && seen.path === path).length,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        for (const socket of openSockets) socket.destroy();
      }),
  };
}

/** A BMC that serves the recorded tree in a folder. */
export async function createRecordedBmc(certificate: Certificate, folder: string): Promise<FakeBmc> {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const recorded = paths
    .filter((path) => path.endsWith('index.json'))
    .map((path): [string, Record<string, unknown>] => [
      `/${dirname(path)}`,
      JSON.parse(readFileSync(join(folder, path), 'utf8')),
    ]);
  return createFakeBmc(certificate, new Map(recorded));
}
