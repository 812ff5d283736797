import type { ServerResponse } from 'node:http';
import type { Problem } from '../../libs/runtime/errors.ts';
import { isEarly, isHttp2 } from './clientResponse.ts';

/** Answers with a problem document, or cuts the connection when an answer has begun already. */
export function sendProblem(
  response: ServerResponse,
  problem: Problem,
  retryAfterSeconds: number | undefined,
  closing: boolean,
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(problem.status, {
    'content-type': 'application/problem+json',
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
    ...(!isHttp2(response) && (closing || isEarly(response)) ? { connection: 'close' } : {}),
  });
  response.end(JSON.stringify(problem));
}
