import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { draftOf } from '../../libs/domain/testing/builders.ts';
import type { RecordedEvent } from '../../libs/events/mod.ts';
import { liveFrames, openStage, type Stage } from './testing/stage.ts';
import type { Tile } from './tile.ts';

/** The console's HTTP API on a real nats-server. */

let stage: Stage;
const json = { 'content-type': 'application/json', 'x-nemuri-console': '1' };

async function act(body: object, headers: Record<string, string> = json): Promise<Response> {
  return fetch(`${stage.address}/api/actions`, { method: 'POST', headers, body: JSON.stringify(body) });
}

async function codeOf(response: Response): Promise<unknown> {
  return ((await response.json()) as { code?: unknown }).code;
}

async function lastFact(): Promise<RecordedEvent | undefined> {
  const last = await stage.bus.lastSequence('FLEET');
  for await (const event of stage.bus.history('FLEET', last)) return event;
  return undefined;
}

describe('without a login, on this machine', () => {
  beforeAll(async () => {
    stage = await openStage();
  });
  afterAll(() => stage.close());

  test('the page comes compressed, with strict headers, and its files for ever', async () => {
    const page = await fetch(`${stage.address}/`, { headers: { 'accept-encoding': 'br' } });
    const text = await page.text();
    expect(page.headers.get('content-encoding')).toBe('br');
    expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'; script-src 'self';/);
    expect(page.headers.get('content-security-policy')).not.toMatch(/unsafe/);
    expect(text).not.toMatch(/<script(?![^>]*src=)/);
    const again = await fetch(`${stage.address}/`, {
      headers: { 'if-none-match': page.headers.get('etag') ?? '' },
    });
    expect(again.status).toBe(304);
    const [script] = /\/assets\/[0-9a-f]+\/app\.js/.exec(text) ?? [];
    const file = await fetch(`${stage.address}${script}`);
    expect(file.headers.get('cache-control')).toMatch(/immutable/);
    expect(file.headers.get('content-type')).toMatch(/javascript/);
    expect((await fetch(`${stage.address}${script}`.replace(/[0-9a-f]{16}/, '0'.repeat(16)))).status).toBe(
      404,
    );
  });

  test('all that a first load needs is at most 150 kB compressed', async () => {
    const page = await fetch(`${stage.address}/`, { headers: { 'accept-encoding': 'br' } });
    const text = await page.text();
    const paths = new Set(text.match(/\/assets\/[0-9a-f]+\/[\w.]+/g));
    expect(paths.size).toBeGreaterThan(8);
    let bytes = Number(page.headers.get('content-length'));
    for (const path of paths) {
      const { headers } = await fetch(`${stage.address}${path}`, { headers: { 'accept-encoding': 'br' } });
      bytes += Number(headers.get('content-length'));
    }
    for await (const { data } of liveFrames(stage.address)) {
      bytes += JSON.stringify(data).length;
      break;
    }
    expect(bytes).toBeGreaterThan(10_000);
    expect(bytes).toBeLessThan(150_000);
  });

  test('the live stream begins with everything and goes on with what changes', async () => {
    let changed: readonly Tile[] | undefined;
    for await (const { event, data } of liveFrames(stage.address)) {
      if (event === 'whole') {
        expect((data.tiles as Tile[]).map(({ name }) => name)).toEqual(['s1', 's2', 's3']);
        await stage.bus.publish(draftOf('ServerPoweredOff', { server: 's2' }));
        continue;
      }
      changed = data.tiles as Tile[];
      if (changed.some(({ powerState }) => powerState === 'off')) break;
    }
    expect(changed?.map(({ name, powerState }) => [name, powerState])).toEqual([['s2', 'off']]);
  });

  test('who was away for a moment gets what was missed, and after a restart everything', async () => {
    let id = '';
    for await (const frame of liveFrames(stage.address)) {
      id = frame.id;
      if (frame.event === 'changes') break;
    }
    await stage.bus.publish(draftOf('ServerBecameUnhealthy', { server: 's3', reason: 'while away' }));
    const texts: unknown[] = [];
    for await (const { event, data } of liveFrames(stage.address, { 'last-event-id': id })) {
      expect(event).toBe('changes');
      texts.push(...(data.events as { text?: string }[]).map(({ text }) => text));
      if (texts.includes('while away')) break;
    }
    for await (const { event } of liveFrames(stage.address, { 'last-event-id': 'other-7' })) {
      expect(event).toBe('whole');
      break;
    }
  });

  test('the past: filtered, page by page, and a fact by its number', async () => {
    for (let count = 0; count < 3; count += 1)
      await stage.bus.publish(draftOf('ServerBecameUnhealthy', { server: 's2', reason: `Probe ${count}` }));
    const ask = async (query: string) => {
      const response = await fetch(`${stage.address}/api/events?${query}`);
      return (await response.json()) as { events: { text?: string; sequence: number }[]; before: number };
    };
    const first = await ask('kind=health&server=s2&text=probe&limit=2');
    expect(first.events.map(({ text }) => text)).toEqual(['Probe 2', 'Probe 1']);
    const rest = await ask(`kind=health&server=s2&text=probe&limit=2&before=${first.before}`);
    expect(rest.events.map(({ text }) => text)).toEqual(['Probe 0']);
    expect(rest.before).toBe(0);
    const one = await fetch(`${stage.address}/api/events/${first.events[0]?.sequence}`);
    expect(await one.json()).toMatchObject({ event: { type: 'ServerBecameUnhealthy' } });
    expect((await fetch(`${stage.address}/api/events/999999`)).status).toBe(404);
    expect((await fetch(`${stage.address}/api/events?kind=<b>`)).status).toBe(400);
  });

  test('the fleet as it was, and a decision with its alternatives', async () => {
    const { sequence } = await stage.bus.publish(draftOf('CapacityDecided', { target: ['s1', 's2'] }));
    await stage.bus.publish(draftOf('ServerCordoned', { server: 's3' }));
    const cordonedAt = async (query: string) => {
      const response = await fetch(`${stage.address}/api/fleet?${query}`);
      const { tiles } = (await response.json()) as { tiles: Tile[] };
      return tiles.find(({ name }) => name === 's3')?.cordoned;
    };
    expect(await cordonedAt(`sequence=${sequence}`)).toBe(false);
    expect(await cordonedAt(`sequence=${sequence + 1}`)).toBe(true);
    expect(await cordonedAt(`timeMs=${Date.now() + 60_000}`)).toBe(true);
    expect((await fetch(`${stage.address}/api/fleet?sequence=1&timeMs=2`)).status).toBe(400);
    const opened = await fetch(`${stage.address}/api/events/${sequence}`);
    const { alternatives } = (await opened.json()) as { alternatives: { choice: string }[] };
    expect(alternatives.map(({ choice }) => choice)).toEqual(['oneFewer', 'decided', 'allOn']);
  });

  test('an action is the same fact as that of the command, with who and why', async () => {
    const response = await act({ verb: 'cordon', server: 's1', reason: ' new disk ', by: 'Aiko' });
    expect(response.status).toBe(200);
    expect(await lastFact()).toMatchObject({
      type: 'ServerCordoned',
      data: { server: 's1', reason: 'new disk', by: 'Aiko' },
    });
    await act({ verb: 'cordon', server: 's1', reason: 'new disk', by: 'Aiko', forMs: 7_200_000 });
    const cordon = await lastFact();
    const lasts = cordon?.type === 'ServerCordoned' && (cordon.data.untilMs ?? 0) - cordon.timeMs;
    expect(Math.round(Number(lasts) / 60_000)).toBe(120);
    const order = await act({ verb: 'wake', server: 's1', reason: 'release', by: 'Aiko', forMs: 60_000 });
    expect(order.status).toBe(200);
    const fact = await lastFact();
    expect(fact?.type === 'WakeOrdered' && fact.data.untilMs - fact.timeMs).toBeGreaterThan(50_000);
    await act({ verb: 'pin', pool: 'web', servers: 2, reason: 'sale', by: 'Aiko' });
    expect(await lastFact()).toMatchObject({ type: 'TargetPinned', data: { pool: 'web', servers: 2 } });
  });

  test.each<[string, object, number, string]>([
    ['no such server', { verb: 'cordon', server: 's9', reason: 'x' }, 409, 'NEMURI_CAN_NOT_BE_DONE'],
    [
      'a drill of one that is awake',
      { verb: 'drill', server: 's3', reason: 'x' },
      409,
      'NEMURI_CAN_NOT_BE_DONE',
    ],
    ['no such pool', { verb: 'pause', pool: 'nope', reason: 'x' }, 409, 'NEMURI_CAN_NOT_BE_DONE'],
    ['no reason', { verb: 'cordon', server: 's1', reason: ' ' }, 400, 'NEMURI_INVALID'],
    ['an unknown verb', { verb: 'explode', server: 's1', reason: 'x' }, 400, 'NEMURI_INVALID'],
    ['a pin without a number', { verb: 'pin', pool: 'web', reason: 'x' }, 400, 'NEMURI_INVALID'],
    ['a key too many', { verb: 'pause', pool: 'web', reason: 'x', force: true }, 400, 'NEMURI_INVALID'],
  ])('refuses %s', async (_what, body, status, code) => {
    const before = await stage.bus.lastSequence('FLEET');
    const response = await act(body);
    expect(response.headers.get('content-type')).toMatch(/application\/problem\+json/);
    expect([response.status, await codeOf(response)]).toEqual([status, code]);
    expect(await stage.bus.lastSequence('FLEET')).toBe(before);
  });

  test('refuses another origin, a form, a strange name and a large body', async () => {
    const body = { verb: 'cordon', server: 's1', reason: 'x' };
    expect((await act(body, { ...json, origin: 'https://evil.example' })).status).toBe(403);
    expect((await act(body, { 'content-type': 'application/json' })).status).toBe(403);
    expect((await act(body, { ...json, 'content-type': 'text/plain' })).status).toBe(415);
    expect((await act({ ...body, reason: 'x'.repeat(100_000) })).status).toBe(413);
    expect((await act(body, { ...json, origin: stage.address })).status).toBe(200);
    // A site whose name leads here (DNS rebinding) has the same origin as its own page.
    const request = get(`${stage.address}/api/session`, { headers: { host: 'evil.example' } });
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    answer.resume();
    expect(answer.statusCode).toBe(421);
  });
});

describe('with a token', () => {
  const variable = 'NEMURI_TEST_CONSOLE_TOKEN';
  beforeAll(async () => {
    process.env[variable] = 'open sesame';
    stage = await openStage({ token: `env:${variable}` });
  });
  afterAll(async () => {
    delete process.env[variable];
    await stage.close();
  });

  const login = (token: string) =>
    fetch(`${stage.address}/api/session`, {
      method: 'POST',
      headers: json,
      body: JSON.stringify({ token, who: 'Aiko' }),
    });

  test('nothing is shown or done without, and whoever logged in stands in the history', async () => {
    expect((await fetch(`${stage.address}/api/live`)).status).toBe(401);
    expect((await act({ verb: 'cordon', server: 's1', reason: 'x' })).status).toBe(401);
    const wrong = await login('open sesam');
    expect([wrong.status, await codeOf(wrong)]).toEqual([401, 'NEMURI_LOGIN_REFUSED']);
    const right = await login('open sesame');
    const cookie = right.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
    const headers = { ...json, cookie: cookie.split(';')[0] ?? '' };
    await act({ verb: 'cordon', server: 's1', reason: 'x', by: 'somebody else' }, headers);
    expect(await lastFact()).toMatchObject({ data: { by: 'Aiko' } });
    await fetch(`${stage.address}/api/session`, {
      method: 'DELETE',
      headers: { 'x-nemuri-console': '1', cookie: headers.cookie },
    });
    expect((await act({ verb: 'uncordon', server: 's1', reason: 'x' }, headers)).status).toBe(401);
  });

  test('guessing is slow', async () => {
    const answers: number[] = [];
    for (let guess = 0; guess < 12; guess += 1) answers.push((await login(`guess ${guess}`)).status);
    expect(answers.at(-1)).toBe(429);
  });
});
