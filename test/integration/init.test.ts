import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Rack, startRack } from '../../lab/rack/rack.ts';
import { parseConfig } from '../../libs/runtime/config.ts';

/** `nemuri init` on the BMCs of a virtual rack, and what it writes tried on them. Needs `npm run build`. */

let folder: string;
let rack: Rack;
let file: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemuri-init-'));
  file = join(folder, 'nemuri.yaml');
  const times = { setupTimeMs: 300, poweringOnMs: 50, shutdownMs: 50 };
  rack = await startRack({ servers: 2, ...times, directory: folder, defaults: { initialPower: 'on' } });
});
afterAll(async () => {
  await rack.stop();
  await rm(folder, { recursive: true, force: true });
});

function nemuri(args: readonly string[], password = rack.password) {
  const env = { PATH: process.env.PATH, NEMURI_BMC_PASSWORD: password };
  return new Promise<{ code: number; out: string; err: string }>((resolve) => {
    execFile(process.execPath, ['dist/cli/main.js', ...args], { env }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err });
    });
  });
}

const given = () => [
  ...rack.servers.flatMap(({ bmcUrl }) => ['--bmc', bmcUrl]),
  ...rack.servers.flatMap(({ name, originUrl }) => ['--server', `${name}=${originUrl}`]),
  ...['--bmc-user', rack.username, '-o', file],
];

test('reads the BMCs, pins their certificates, and the result switches the machines', async () => {
  const { code, out, err } = await nemuri(['init', '--yes', ...given()]);
  expect([code, out]).toEqual([0, expect.stringContaining('2 servers in the pool web')]);
  expect(err).toContain(`SHA-256 ${rack.fingerprint256}`);
  expect(out).toContain(`power test -c ${file} --server server-1`);
  const text = await readFile(file, 'utf8');
  expect(text).toMatch(/- \{ driver: wol, macs: \["02:/);
  expect(text).toContain('# It allows: On, ');
  expect(text).not.toContain(rack.password);
  expect(parseConfig(text, { file })).toMatchObject({
    ok: true,
    config: {
      servers: {
        'server-2': { power: [{ driver: 'redfish', tls: { fingerprint256: rack.fingerprint256 } }] },
      },
    },
  });
  const tried = await nemuri(['power', 'test', '-c', file, '--server', 'server-2']);
  expect([tried.code, tried.out]).toEqual([0, expect.stringMatching(/^ok {4}rung 0 redfish +reads +on/)]);
});

test('a wrong password is said and nothing is written', async () => {
  const { code, err } = await nemuri(['init', '--yes', ...given(), '-o', `${file}.2`], 'wrong-Passw0rd');
  expect([code, err]).toEqual([1, expect.stringContaining("nothing is written: 2 BMCs can't be read")]);
  expect(err).not.toContain('wrong-Passw0rd');
});
