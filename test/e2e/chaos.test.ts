import { execFile } from 'node:child_process';

/** Half a minute of `npm run chaos`. Needs `npm run build`. */
test('no accident fails a request that could be tried again, switches a wrong server off or leaves a false belief', async () => {
  const args = ['dist/lab/chaos/main.js', '--minutes', '0.5', '--servers', '3', '--seed', '2', '--json'];
  const { stdout, stderr } = await new Promise<{ stdout: string; stderr: string }>((resolve) =>
    execFile(process.execPath, args, (_error, out, err) => resolve({ stdout: out, stderr: err })),
  );
  const line = stdout.trim().split('\n').at(-1);
  if (!line) throw new Error(stderr);
  const report = JSON.parse(line);
  expect(report).toMatchObject({ failed: 0, causes: {}, wrong: [], diverged: [], unrecovered: [] });
  expect(report.requests).toBeGreaterThan(200);
  expect(Object.keys(report.recovery).length).toBeGreaterThan(2);
}, 400_000);
