import { execFile } from 'node:child_process';

/** A short run of `npm run soak:proxy`: mixed traffic while servers sleep, wake and die. */
test('no request is lost that could be tried again, and no answer is truncated or mixed', async () => {
  const args = ['dist/lab/soak/main.js', '--seconds', '20', '--seed', '7', '--json'];
  const out = await new Promise<string>((resolve) =>
    execFile(process.execPath, args, (_error, stdout, stderr) => resolve(stdout || stderr)),
  );
  const report = JSON.parse(out.trim().split('\n').at(-1) ?? '');
  expect(report).toMatchObject({ passed: true, failed: 0, wrong: 0, complaints: [], proxyRestarts: 0 });
  expect(report.requests).toBeGreaterThan(200);
  expect(report.messages).toBeGreaterThan(20);
  expect(report.events).toBeGreaterThan(20);
}, 90_000);
