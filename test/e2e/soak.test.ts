import { execFile } from 'node:child_process';

async function reportOf(...args: string[]) {
  const out = await new Promise<string>((resolve) =>
    execFile(process.execPath, [...args, '--json'], (_error, stdout, stderr) => resolve(stdout || stderr)),
  );
  return JSON.parse(out.trim().split('\n').at(-1) ?? '');
}

/** A short run of `npm run soak:proxy`: mixed traffic while servers sleep, wake and die. */
test('no request is lost that could be tried again, and no answer is truncated or mixed', async () => {
  const report = await reportOf('dist/lab/soak/main.js', '--seconds', '20', '--seed', '7');
  expect(report).toMatchObject({ passed: true, failed: 0, wrong: 0, complaints: [], proxyRestarts: 0 });
  expect(report.requests).toBeGreaterThan(200);
  expect(report.messages).toBeGreaterThan(20);
  expect(report.events).toBeGreaterThan(20);
}, 90_000);

/** Short runs of `npm run soak:crowd`. */
const crowd = ['dist/lab/soak/crowd.js', '--clients', '50', '--webSockets', '0'];

test('a crowd before a pool at zero: who came first is served after the wake, who came too late is told so', async () => {
  const { zero } = await reportOf(...crowd, '--more', '2000', '--atOnce', '200');
  expect(zero).toMatchObject({
    answered: { served: 50 },
    parkedOfMore: { served: 950 },
    crowd: { refused: 1_050, turnedAway: 0, others: {} },
    parkedAtMost: 1_000,
    passed: true,
  });
}, 90_000);

test('a crowd above maxConnections: who is turned away is counted by the proxy too', async () => {
  const { zero } = await reportOf(...crowd, '--more', '1450', '--atOnce', '400', '--maxConnections', '1010');
  expect(zero).toMatchObject({ answered: { served: 50 }, parkedOfMore: { served: 950 }, passed: true });
  expect(zero.crowd.turnedAway).toBeGreaterThan(0);
  expect(zero.crowd).toMatchObject({ turnedAway: zero.refusedConnections, others: {} });
  expect(zero.crowd.refused + zero.crowd.turnedAway).toBe(500);
}, 90_000);
