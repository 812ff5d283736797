import { DriverError, type DriverFailureKind } from './driver.ts';
import { codeOf, oneLine, type Redact } from './secretKeeper.ts';

/**
 * What the answers of BMCs mean: the one table from HTTP statuses, connection errors and vendor messages to the
 * kinds of DriverError. Pure. Sources: DMTF DSP0266 (clauses on status codes, error responses and tasks), RFC 9110.
 */

/** An answer, read whole. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** A BMC that answered and did not do as told; `status` is that of HTTP. */
export class RedfishError extends DriverError {
  readonly status: number;
  readonly messageIds: readonly string[];
  constructor(
    kind: DriverFailureKind,
    message: string,
    details: { status: number; messageIds?: readonly string[]; retryAfterMs?: number | undefined },
  ) {
    super(kind, message, details.retryAfterMs === undefined ? {} : { retryAfterMs: details.retryAfterMs });
    this.status = details.status;
    this.messageIds = details.messageIds ?? [];
  }
}

const kindsByStatus: Readonly<Record<number, DriverFailureKind>> = {
  401: 'unauthorized',
  403: 'unauthorized',
  408: 'busy',
  423: 'busy',
  429: 'busy',
  501: 'unsupported',
  // A gateway in front of the BMC did not reach it.
  502: 'unreachable',
  503: 'busy',
  504: 'unreachable',
};

/** The kind of failure that an HTTP status outside 2xx stands for; one outside 400..599 makes no sense here. */
export function kindOfStatus(status: number): DriverFailureKind {
  return kindsByStatus[status] ?? (status >= 400 && status < 600 ? 'refused' : 'protocol');
}

const certificateCodes =
  /^(CERT_|ERR_TLS_CERT|ERR_TLS_FINGERPRINT|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY|DECRYPT|DECODE)|INVALID_(CA|PURPOSE)|HOSTNAME_MISMATCH|PATH_LENGTH)/;
// A parser error of HTTP, a plain-text answer on a TLS port, or a body beyond the bound.
const protocolCodes = /^(HPE_|ERR_SSL_|EPROTO|UND_ERR_(RES_EXCEEDED|HEADERS_OVERFLOW|INVALID|RES_CONTENT))/;

/** The kind of failure of an exchange that brought no answer. */
export function kindOfConnectionError(error: unknown): DriverFailureKind {
  const code = codeOf(error);
  if (certificateCodes.test(code)) return 'unauthorized';
  return protocolCodes.test(code) ? 'protocol' : 'unreachable';
}

/** True when a kept-open connection died under the request: a reading may be asked for again, a command not. */
export function isLostConnection(error: unknown): boolean {
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(codeOf(error));
}

const longestRetryAfterMs = 3_600_000;

/**
 * Retry-After (RFC 9110, 10.2.3) in ms from `nowMs`, at most an hour; seconds or an HTTP date. Undefined when
 * absent or unreadable; 0 for a date gone by.
 */
export function parseRetryAfter(value: string | null, nowMs: number): number | undefined {
  const text = value?.trim();
  if (!text) return undefined;
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - nowMs;
  return Number.isNaN(waitMs) ? undefined : Math.min(longestRetryAfterMs, Math.max(0, waitMs));
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function objectsOf(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** The path a reference names: `{"@odata.id": …}`, or, from some BMCs, the bare string. */
export function linkOf(value: unknown): string | undefined {
  return textOf(isObject(value) ? value['@odata.id'] : value);
}

/** The JSON object in a body; undefined when it is none. */
export function parseObject(body: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function extendedInfo(body: JsonObject): readonly JsonObject[] {
  const { error } = body;
  if (!isObject(error)) return [];
  const info = error['@Message.ExtendedInfo'];
  return isObject(info) ? [info] : objectsOf(info);
}

/** What the vendor says in an error body (`error.@Message.ExtendedInfo`), one line of at most 300 characters. */
export function vendorMessage(body: JsonObject | undefined, redact: Redact): string {
  if (!body) return '';
  const messages = extendedInfo(body).map((info) => textOf(info.Message) ?? textOf(info.MessageId) ?? '');
  const text = messages.filter(Boolean).join(' ');
  return oneLine(text || (isObject(body.error) ? (textOf(body.error.message) ?? '') : ''), redact);
}

const messageIdPattern = /^[A-Za-z0-9_]{1,40}(\.[A-Za-z0-9_]{1,80}){1,5}$/;

/** The ids of those messages, as registries write them (`Base.1.8.ResourceInUse`); what looks otherwise is none. */
export function messageIdsOf(body: JsonObject | undefined): readonly string[] {
  return body
    ? extendedInfo(body).flatMap(({ MessageId: id }) =>
        typeof id === 'string' && messageIdPattern.test(id) ? [id] : [],
      )
    : [];
}

/** True when a 2xx answer carries a message of severity Critical: it says that it did not do it after all. */
export function saysCritical(body: JsonObject): boolean {
  return extendedInfo(body).some(
    (info) => info.MessageSeverity === 'Critical' || info.Severity === 'Critical',
  );
}

export type TaskOutcome = 'running' | 'done' | 'failed';

const failedTaskStates: readonly unknown[] = ['Exception', 'Killed', 'Cancelled'];

/** What a Task resource says (DSP0266, task monitors; Task.TaskState): anything but an end is still running. */
export function taskOutcome(task: JsonObject): TaskOutcome {
  if (failedTaskStates.includes(task.TaskState)) return 'failed';
  if (task.TaskState !== 'Completed') return 'running';
  return task.TaskStatus === 'Critical' ? 'failed' : 'done';
}

export function taskMessage(task: JsonObject, redact: Redact): string {
  const messages = objectsOf(task.Messages).flatMap(
    (entry) => textOf(entry.Message) ?? textOf(entry.MessageId) ?? [],
  );
  return oneLine([`task ended as ${String(task.TaskState)}`, ...messages].join(': '), redact);
}
