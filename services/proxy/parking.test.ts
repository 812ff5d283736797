import { ProblemError } from '../../libs/runtime/errors.ts';
import { createParking } from './parking.ts';

const bounds = { maxRequests: 2, maxBytes: 100, maxWaitMs: 60_000 };
const waiting = () => ({ bytes: 10, signal: new AbortController().signal });

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'served',
    (error) => (error instanceof ProblemError ? error.problem.code : 'other'),
  );
}

test('first come, first served, for as long as there is a server', async () => {
  const parking = createParking<string>(() => 1_000);
  const first = parking.park(waiting(), bounds);
  const second = parking.park(waiting(), bounds);
  const servers = ['a'];
  parking.release(() => servers.shift());
  expect(await first).toBe('a');
  expect(parking.count).toBe(1);
  parking.release(() => 'b');
  expect(await second).toBe('b');
  expect(parking.count).toBe(0);
});

test('bounded in count', async () => {
  const parking = createParking<string>(() => 0);
  const held = [parking.park(waiting(), bounds), parking.park(waiting(), bounds)];
  expect(await codeOf(parking.park(waiting(), bounds))).toBe('NEMURI_PARKING_FULL');
  parking.release(() => 'a');
  await Promise.all(held);
});

test('bounded in bytes, which come free again', async () => {
  const parking = createParking<string>(() => 0);
  const big = parking.park({ ...waiting(), bytes: 95 }, bounds);
  expect(await codeOf(parking.park(waiting(), bounds))).toBe('NEMURI_PARKING_FULL');
  parking.release(() => 'a');
  await big;
  const next = parking.park({ ...waiting(), bytes: 95 }, bounds);
  parking.release(() => 'a');
  expect(await next).toBe('a');
});

test('bounded in time, what it waited before included', async () => {
  const parking = createParking<string>(() => 0);
  const late = parking.park({ ...waiting(), waitedMs: 60_000 }, bounds);
  expect(await codeOf(late)).toBe('NEMURI_PARKED_TOO_LONG');
  expect(parking.count).toBe(0);
});

test('a client that goes away gives its place up', async () => {
  const parking = createParking<string>(() => 0);
  const client = new AbortController();
  const gone = parking.park({ bytes: 1, signal: client.signal }, bounds);
  client.abort(new Error('gone'));
  await expect(gone).rejects.toThrow('gone');
  expect(parking.count).toBe(0);
});

test('refuses all when the proxy stops', async () => {
  const parking = createParking<string>(() => 0);
  const held = parking.park(waiting(), bounds);
  parking.refuseAll(new ProblemError('NEMURI_STOPPING', 'bye', 1));
  expect(await codeOf(held)).toBe('NEMURI_STOPPING');
});

test('tells since when the oldest waits, and its trace', async () => {
  let nowMs = 5;
  const parking = createParking<string>(() => nowMs);
  expect(parking.oldestMs).toBeUndefined();
  const held = [parking.park(waiting(), bounds)];
  nowMs = 9;
  held.push(parking.park({ ...waiting(), traceparent: 'trace' }, bounds));
  expect(parking.oldestMs).toBe(5);
  expect(parking.traceparent).toBe('trace');
  parking.release(() => 'a');
  await Promise.all(held);
});
