import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../../libs/runtime/freePort.ts';
import { endProcess } from '../../../libs/runtime/supervisor.ts';
import { createSshDriver } from './ssh.ts';
import { failureOf, kindOf, never } from './testing/bench.ts';
import { createWorkshop, deps, describeWith, findProgram, methodOf } from './testing/peers.ts';

const run = promisify(execFile);
const workshop = createWorkshop();

interface Sshd {
  readonly port: number;
  readonly folder: string;
  readonly hostKey: string;
  stop(): Promise<void>;
}

async function newKey(folder: string, name: string): Promise<string> {
  const file = join(folder, name);
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', file]);
  return (await readFile(`${file}.pub`, 'utf8')).trim();
}

/** OpenSSH's server with a configuration, keys and a port of its own; it lets our user in by `client`. */
async function startSshd(): Promise<Sshd> {
  const folder = await workshop.folder();
  const hostKey = await newKey(folder, 'host');
  await writeFile(join(folder, 'authorized'), `${await newKey(folder, 'client')}\n`, { mode: 0o600 });
  await newKey(folder, 'stranger');
  const port = await freePort('127.0.0.1');
  const config = `ListenAddress 127.0.0.1
Port ${port}
HostKey ${join(folder, 'host')}
AuthorizedKeysFile ${join(folder, 'authorized')}
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
`;
  await writeFile(join(folder, 'sshd_config'), config);
  // Where a root sshd locks its unprivileged part in; the package makes it only when it starts the service.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true });
  const child = spawn(findProgram('sshd') ?? '', ['-D', '-e', '-f', join(folder, 'sshd_config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const listening = new Promise<void>((resolve, reject) => {
    let said = '';
    child.stderr?.on('data', (chunk) => {
      said += chunk;
      if (said.includes('Server listening')) resolve();
    });
    child.once('exit', () => reject(new Error(`sshd ended: ${said}`)));
  });
  await Promise.all([once(child, 'spawn'), listening]);
  return { port, folder, hostKey, stop: () => endProcess(child, 2_000) };
}

describeWith({ sshd: 'openssh-server', ssh: 'openssh-client' }, 'a machine behind sshd', () => {
  let sshd: Sshd;
  beforeAll(async () => {
    sshd = await startSshd();
  });
  afterAll(async () => {
    await sshd.stop();
    await workshop.clear();
  });

  const driverOf = (method: object) => {
    const { port, hostKey } = sshd;
    const keyFile = join(sshd.folder, 'client');
    const pinned = 'knownHostsFile' in method ? {} : { hostKey };
    const { username } = userInfo();
    const all = { host: '127.0.0.1', port, username, keyFile, ...pinned, ...method };
    return createSshDriver('web-1', methodOf('ssh', all), deps);
  };

  test('gets its commands, each by its own act, and no trace of the pinned key stays', async () => {
    const log = join(sshd.folder, 'log');
    const temporary = await workshop.folder();
    const { TMPDIR } = process.env;
    process.env.TMPDIR = temporary;
    const driver = driverOf({
      sleepCommand: `echo soft "$SSH_ORIGINAL_COMMAND" >> ${log}`,
      forcedSleepCommand: `echo hard >> ${log}`,
      wakeCommand: `echo wake >> ${log}`,
      readPowerCommand: 'echo on',
      meterCommand: 'echo 87.5',
    });
    await driver.wake(never);
    await driver.sleep('graceful', never);
    await driver.sleep('forced', never);
    expect((await readFile(log, 'utf8')).split('\n').map((line) => line.trim())).toEqual([
      'wake',
      'soft',
      'hard',
      '',
    ]);
    expect(await driver.readPower(never)).toBe('on');
    expect(await driver.meter(never)).toEqual({ powerWatts: 87.5, source: 'ssh 127.0.0.1' });
    expect(await readdir(temporary)).toEqual([]);
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
  });

  test('is known by a known hosts file as well', async () => {
    const knownHostsFile = join(sshd.folder, 'known_hosts');
    await writeFile(knownHostsFile, `[127.0.0.1]:${sshd.port} ${sshd.hostKey}\n`);
    expect(await driverOf({ knownHostsFile, readPowerCommand: 'echo off' }).readPower(never)).toBe('off');
  });

  test('a sleep that takes the connection down with it is a success, a reading is not', async () => {
    const gone = 'kill -9 $PPID';
    await driverOf({ sleepCommand: gone }).sleep('graceful', never);
    expect(await kindOf(driverOf({ readPowerCommand: gone }).readPower(never))).toBe('unreachable');
  });

  test.each<[number, string]>([
    [1, 'refused'],
    [75, 'busy'],
    [127, 'unsupported'],
  ])('exit code %d is %s', async (exitCode, kind) => {
    const failure = await failureOf(
      driverOf({ sleepCommand: `echo "a reason" >&2; exit ${exitCode}` }).sleep('graceful', never),
    );
    expect([failure.kind, failure.message]).toEqual([
      kind,
      `web-1: graceful sleep ended with ${exitCode}: a reason`,
    ]);
  });

  test('without a forced command it cannot force, and says what it can', async () => {
    const driver = driverOf({ sleepCommand: 'true' });
    expect([...driver.capabilities]).toEqual(['sleep']);
    expect(await kindOf(driver.sleep('forced', never))).toBe('unsupported');
  });

  test('a key that it does not know is unauthorized', async () => {
    const keyFile = join(sshd.folder, 'stranger');
    const failure = await failureOf(driverOf({ keyFile, sleepCommand: 'true' }).sleep('graceful', never));
    expect(failure.kind).toBe('unauthorized');
    expect(failure.message).toContain('Permission denied');
    expect(await kindOf(driverOf({ keyFile: '/no/such/key', wakeCommand: 'true' }).wake(never))).toBe(
      'unauthorized',
    );
  });

  test('another host key than the pinned one is unauthorized, and the command is not sent', async () => {
    const marker = join(sshd.folder, 'marker');
    const hostKey = (await readFile(join(sshd.folder, 'stranger.pub'), 'utf8')).trim();
    const failure = await failureOf(driverOf({ hostKey, wakeCommand: `touch ${marker}` }).wake(never));
    expect([failure.kind, failure.message]).toEqual([
      'unauthorized',
      expect.stringContaining('Host key verification failed'),
    ]);
    await expect(readFile(marker)).rejects.toThrow('ENOENT');
  });

  test('a command that hangs, or never stops talking, is ended', async () => {
    const hangs = driverOf({
      readPowerCommand: 'sleep 60',
      commandTimeoutMs: 1_500,
      connectTimeoutMs: 1_000,
    });
    expect(await kindOf(hangs.readPower(never))).toBe('unreachable');
    expect(await kindOf(driverOf({ readPowerCommand: 'yes' }).readPower(never))).toBe('protocol');
    expect(await kindOf(driverOf({ readPowerCommand: 'echo maybe' }).readPower(never))).toBe('protocol');
  });

  test('a cancelled call ends with its reason', async () => {
    const abort = new AbortController();
    const reading = driverOf({ readPowerCommand: 'sleep 60' }).readPower(abort.signal);
    abort.abort(new Error('stopping'));
    await expect(reading).rejects.toThrow('stopping');
  });
});

describeWith({ ssh: 'openssh-client' }, 'a machine that', () => {
  afterEach(() => workshop.clear());
  const sleepAt = (port: number) => {
    const where = { host: '127.0.0.1', port, username: 'nemuri', keyFile: '/dev/null' };
    const times = { connectTimeoutMs: 1_000, commandTimeoutMs: 1_500, knownHostsFile: '/dev/null' };
    const method = methodOf('ssh', { ...where, ...times, sleepCommand: 'true' });
    return kindOf(createSshDriver('web-1', method, deps).sleep('graceful', never));
  };

  test('is not there is unreachable: off and lost look alike', async () => {
    expect(await sleepAt(await freePort('127.0.0.1'))).toBe('unreachable');
  });
  test('accepts and says nothing is unreachable', async () => {
    expect(await sleepAt(await workshop.tcpPeer(''))).toBe('unreachable');
  });
  test('resets is unreachable', async () => {
    expect(await sleepAt(await workshop.tcpPeer(undefined))).toBe('unreachable');
  });
  test('speaks something else makes no sense', async () => {
    expect(await sleepAt(await workshop.tcpPeer('SSH-1.0-toaster\r\n'))).toBe('protocol');
  });
});
