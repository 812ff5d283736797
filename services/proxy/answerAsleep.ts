import type { IncomingMessage, ServerResponse } from 'node:http';
import { classOf } from '../../libs/domain/mod.ts';
import { problemOf } from '../../libs/runtime/errors.ts';
import { isEarly } from './clientResponse.ts';
import type { Gate } from './gate.ts';
import type { RequestHeaders } from './headers.ts';
import { sendProblem } from './sendProblem.ts';
import { reloadSeconds, waitingPage } from './waitingPage.ts';

/** A person who waits may be a little late. */
const returnPatience = 2;
const asleepRetrySeconds = 60;

export interface Asking {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly headers: RequestHeaders;
  readonly gate: Gate;
  readonly closing: () => boolean;
}

/** Before a sleeping pool a monitor is refused, and a browser may get a page that waits. @returns whether it was. */
export function answerAsleep({ request, response, headers, gate, closing }: Asking): boolean {
  const { parking } = gate.config;
  const { userAgent, accept } = headers;
  const asked = { method: request.method ?? 'GET', target: request.url ?? '/', userAgent, accept };
  const kind = classOf(asked, parking.monitors);
  if (kind === 'monitor') {
    // It is no demand: nothing may wake for it.
    gate.meter.arrivals -= 1;
    const problem = problemOf('NEMURI_ASLEEP', 'Ask again when it is awake.');
    sendProblem(response, problem, asleepRetrySeconds, closing());
    return true;
  }
  if (kind !== 'browser' || !parking.waitingPage) return false;
  const readyInMs = gate.readyInMs();
  const seconds = reloadSeconds(readyInMs);
  gate.expectReturn(returnPatience * seconds * 1_000);
  response.writeHead(503, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'retry-after': String(seconds),
    ...(isEarly(response) ? { connection: 'close' } : {}),
  });
  response.end(waitingPage(readyInMs));
  return true;
}
