import type { IncomingHttpHeaders } from 'node:http';
import { type Answer, errorAnswer, etagOf } from './answer.ts';
import type { FaultTable, RequestKind } from './faults.ts';
import { type MachineState, powerStateOf, type ResetType, resetTypes } from './machine.ts';
import {
  type BmcQuirks,
  type BmcView,
  metadataXml,
  odataDocument,
  resetPath,
  resourceAt,
  rootPath,
  sessionsPath,
  systemPath,
  taskMonitorsPath,
  tasksPath,
} from './resources.ts';
import { createSessions } from './sessions.ts';
import { createTasks } from './tasks.ts';

export interface BmcSettings {
  readonly name: string;
  readonly uuid: string;
  readonly systemId: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly maxWatts: number;
  readonly username: string;
  readonly password: string;
  readonly quirks: BmcQuirks;
  readonly maxSessions: number;
  readonly sessionTimeoutMs: number;
}

/** What a BMC can see and do of its machine. */
export interface MachinePort {
  look(): { readonly state: MachineState; readonly powerWatts: number };
  reset(resetType: ResetType): void;
}

export interface BmcRequest {
  readonly method: string;
  /** Without query, without trailing slash. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One emulated BMC, without its sockets. */
export interface Bmc {
  handle(request: BmcRequest): Answer;
  /** Forgets every session, as a restart of the BMC does. */
  dropSessions(): void;
  close(): void;
}

type Json = Readonly<Record<string, unknown>>;
const read = ['GET', 'HEAD'];

/** What a request is about, by DSP0266's methods and our paths. */
export function requestKind(method: string, path: string): RequestKind {
  if (path.endsWith('/Actions/ComputerSystem.Reset')) return 'reset';
  if (read.includes(method)) return 'read';
  return path.startsWith(sessionsPath) ? 'session' : 'other';
}

function parseObject(request: BmcRequest): Json | Answer {
  const contentType = request.headers['content-type'];
  if (contentType !== undefined && !/^application\/([\w.]+\+)?json\b/i.test(contentType))
    return errorAnswer('UnsupportedMediaType');
  try {
    const value: unknown = JSON.parse(request.body);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  } catch {
    // Answered below, like JSON that is no object.
  }
  return errorAnswer('MalformedJSON');
}

function isAnswer(value: Json | Answer): value is Answer {
  return typeof value.status === 'number';
}

/** User name and password of an Authorization header (RFC 7617). */
function basicCredentials(header: string | undefined): readonly [string, string] | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const decoded = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  return colon < 0 ? undefined : [decoded.slice(0, colon), decoded.slice(colon + 1)];
}

function leadsNowhere(resetType: ResetType, state: MachineState): boolean {
  if (resetType === 'On') return state.kind !== 'off';
  if (resetType === 'GracefulShutdown') return state.kind === 'off' || state.kind === 'poweringOff';
  return resetType === 'ForceOff' && state.kind === 'off';
}

/**
 * Emulates one BMC by DSP0266: sessions and basic authentication, the resources of `resourceAt`, the reset action,
 * ETags, error bodies. Faults of single actions and of the meter are looked up here; those of whole answers belong to
 * the server around it.
 */
export function createBmc(
  settings: BmcSettings,
  machine: MachinePort,
  faults: FaultTable,
  clock: () => number,
): Bmc {
  const sessions = createSessions(settings.maxSessions, settings.sessionTimeoutMs, clock);
  const tasks = createTasks();
  const ownSystem = systemPath(settings.systemId);
  const ownReset = resetPath(settings.systemId);
  let assetTag = '';

  const view = (): BmcView => {
    const { state, powerWatts } = machine.look();
    return {
      name: settings.name,
      uuid: settings.uuid,
      systemId: settings.systemId,
      manufacturer: settings.manufacturer,
      model: settings.model,
      assetTag,
      machine: state.kind,
      powerState: powerStateOf(state),
      powerWatts,
      maxWatts: settings.maxWatts,
      userName: settings.username,
      sessionTimeoutSeconds: Math.floor(settings.sessionTimeoutMs / 1_000),
      sessions: sessions.list(),
      tasks: tasks.list(),
      quirks: settings.quirks,
    };
  };
  const seen = (path: string) => {
    const isMeter = /\/Chassis\/1\/(Power|EnvironmentMetrics)$/.test(path);
    const isZero = isMeter && faults.take(['zeroWatts'], 'read') !== undefined;
    return resourceAt(path, isZero ? { ...view(), powerWatts: 0 } : view());
  };

  const isOwner = (userName: unknown, password: unknown) =>
    userName === settings.username && password === settings.password;
  const refusal = (request: BmcRequest): Answer | undefined => {
    const token = request.headers['x-auth-token'];
    if (typeof token === 'string') return sessions.touch(token) ? undefined : errorAnswer('NoValidSession');
    const basic = basicCredentials(request.headers.authorization);
    if (basic && isOwner(...basic)) return undefined;
    const challenge = { 'www-authenticate': 'Basic realm="Redfish"' };
    return errorAnswer(basic ? 'ResourceAtUriUnauthorized' : 'NoValidSession', [], challenge);
  };

  const login = (request: BmcRequest): Answer => {
    const body = parseObject(request);
    if (isAnswer(body)) return body;
    const missing = ['UserName', 'Password'].find((key) => typeof body[key] !== 'string');
    if (missing) return errorAnswer('PropertyMissing', [missing]);
    if (!isOwner(body.UserName, body.Password)) return errorAnswer('ResourceAtUriUnauthorized');
    const session = sessions.open(settings.username);
    if (!session) return errorAnswer('SessionLimitExceeded');
    const location = `${sessionsPath}/${session.id}`;
    return { status: 201, headers: { location, 'x-auth-token': session.token }, body: seen(location) ?? {} };
  };

  const reset = (request: BmcRequest): Answer => {
    const body = parseObject(request);
    if (isAnswer(body)) return body;
    const resetType = resetTypes.find((known) => known === body.ResetType);
    if (body.ResetType === undefined)
      return errorAnswer('ActionParameterMissing', ['ComputerSystem.Reset', 'ResetType']);
    if (resetType === undefined)
      return errorAnswer('ActionParameterValueNotInList', [String(body.ResetType), 'ResetType']);
    if (settings.quirks.sameState === 'refuse' && leadsNowhere(resetType, machine.look().state))
      return errorAnswer('ResourceInUse');
    if (faults.take(['ignoredReset'], 'reset', resetType)) return { status: 204 };
    const slow = faults.take(['task'], 'reset', resetType);
    if (!slow) {
      machine.reset(resetType);
      return { status: 204 };
    }
    const { id } = tasks.start(resetType, slow.durationMs, slow.outcome, () => machine.reset(resetType));
    const location = `${slow.location === 'monitor' ? taskMonitorsPath : tasksPath}/${id}`;
    return { status: 202, headers: { location }, body: seen(`${tasksPath}/${id}`) ?? {} };
  };

  const patchSystem = (request: BmcRequest): Answer => {
    const expected = request.headers['if-match'];
    const current = seen(ownSystem) ?? {};
    if (expected !== undefined && expected !== '*' && expected !== etagOf(current))
      return errorAnswer('PreconditionFailed');
    const body = parseObject(request);
    if (isAnswer(body)) return body;
    const fixed = Object.keys(body).find((key) => key !== 'AssetTag');
    if (fixed !== undefined) return errorAnswer('PropertyNotWritable', [fixed]);
    if (typeof body.AssetTag !== 'string' || body.AssetTag.length > 255)
      return errorAnswer('PropertyValueTypeError', [String(body.AssetTag), 'AssetTag']);
    assetTag = body.AssetTag;
    return { status: 204 };
  };

  const monitor = (id: string): Answer => {
    const task = tasks.list().find((candidate) => candidate.id === id);
    const path = `${taskMonitorsPath}/${id}`;
    if (!task) return errorAnswer('ResourceMissingAtURI', [path]);
    if (task.state === 'Running')
      return { status: 202, headers: { location: path }, body: seen(`${tasksPath}/${id}`) ?? {} };
    return task.state === 'Completed' ? { status: 204 } : errorAnswer('GeneralError');
  };

  const get = (request: BmcRequest, path: string): Answer => {
    if (path.startsWith(`${taskMonitorsPath}/`)) return monitor(path.slice(taskMonitorsPath.length + 1));
    const resource = seen(path);
    if (!resource) return errorAnswer('ResourceMissingAtURI', [path]);
    const etag = etagOf(resource);
    if (request.headers['if-none-match'] === etag) return { status: 304, headers: { etag } };
    return { status: 200, headers: { etag, allow: allowed(path).join(', ') }, body: resource };
  };

  const allowed = (path: string): readonly string[] => {
    if (path === ownReset) return ['POST'];
    if (path === sessionsPath) return [...read, 'POST'];
    if (path === ownSystem) return [...read, 'PATCH'];
    return path.startsWith(`${sessionsPath}/`) ? [...read, 'DELETE'] : read;
  };

  const route = (request: BmcRequest, path: string): Answer => {
    const { method } = request;
    if (method === 'POST' && path === ownReset) return reset(request);
    if (method === 'PATCH' && path === ownSystem) return patchSystem(request);
    if (method === 'DELETE' && path.startsWith(`${sessionsPath}/`)) {
      const isClosed = sessions.close(path.slice(sessionsPath.length + 1));
      return isClosed ? { status: 204 } : errorAnswer('ResourceMissingAtURI', [path]);
    }
    if (read.includes(method) && path !== ownReset) return get(request, path);
    const exists = path === ownReset || resourceAt(path, view()) !== undefined;
    if (!exists) return errorAnswer('ResourceMissingAtURI', [path]);
    return errorAnswer('OperationNotAllowed', [], { allow: allowed(path).join(', ') });
  };

  return {
    handle(request) {
      const { method, path } = request;
      const version = request.headers['odata-version'];
      if (version !== undefined && version !== '4.0') return errorAnswer('HeaderInvalid', ['OData-Version']);
      if (read.includes(method)) {
        if (path === '/redfish') return { status: 200, body: { v1: `${rootPath}/` } };
        if (path === rootPath) return get(request, path);
        if (path === `${rootPath}/odata`) return { status: 200, body: odataDocument() };
        if (path === `${rootPath}/$metadata`)
          return { status: 200, headers: { 'content-type': 'application/xml' }, body: metadataXml };
      }
      if (method === 'POST' && (path === sessionsPath || path === `${sessionsPath}/Members`))
        return login(request);
      return refusal(request) ?? route(request, path);
    },
    dropSessions: () => sessions.clear(),
    close: () => tasks.close(),
  };
}
