import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { until } from '../bus/testing/until.ts';
import { ensureNatsServer, findNatsServer, type NatsServer, startNatsServer } from './natsServer.ts';

let folder: string;
let server: NatsServer | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemuri-nats-'));
});

afterEach(async () => {
  await server?.stop();
  server = undefined;
  await rm(folder, { recursive: true, force: true });
});

async function executable(...path: string[]): Promise<string> {
  const file = join(folder, ...path);
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, '#!/bin/sh\n');
  await chmod(file, 0o755);
  return file;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('findNatsServer', () => {
  it('prefers the binary that is named', async () => {
    const named = await executable('named');
    await executable('bin', 'nats-server');
    expect(findNatsServer({ NEMURI_NATS_SERVER: named, PATH: join(folder, 'bin') })).toBe(named);
  });

  it('does not pass over a name that is wrong', async () => {
    const onPath = await executable('bin', 'nats-server');
    const env = { NEMURI_NATS_SERVER: join(folder, 'none'), PATH: join(folder, 'bin') };
    expect(findNatsServer(env)).toBeUndefined();
    expect(findNatsServer({ PATH: env.PATH })).toBe(onPath);
  });

  it('passes over folders and plain files', async () => {
    await mkdir(join(folder, 'a', 'nats-server'), { recursive: true });
    await mkdir(join(folder, 'b'));
    await writeFile(join(folder, 'b', 'nats-server'), '');
    const good = await executable('c', 'nats-server');
    const path = ['a', 'b', 'c'].map((name) => join(folder, name)).join(':');
    expect(findNatsServer({ PATH: path })).toBe(good);
  });
});

describe('ensureNatsServer', () => {
  const machine = (answers: Record<string, number>) => {
    const commands: string[] = [];
    const lines: string[] = [];
    let installed = false;
    return {
      commands,
      lines,
      options: {
        env: {},
        isRoot: true,
        log: (line: string) => lines.push(line),
        find: () => (installed ? '/usr/sbin/nats-server' : undefined),
        run: async (command: string, args: readonly string[]) => {
          const line = [command, ...args].join(' ');
          commands.push(line);
          const code = answers[line] ?? answers[command] ?? 0;
          if (line.includes('install') && code === 0) installed = true;
          return code;
        },
      },
    };
  };

  it('touches nothing when it is there', async () => {
    const { commands, options } = machine({});
    expect(await ensureNatsServer({ ...options, find: () => '/opt/nats-server' })).toBe('/opt/nats-server');
    expect(commands).toEqual([]);
  });

  it('installs the package, says so, and stops the service that came with it', async () => {
    const { commands, lines, options } = machine({});
    expect(await ensureNatsServer(options)).toBe('/usr/sbin/nats-server');
    expect(commands).toEqual([
      'apt-get --version',
      'apt-get update',
      'apt-get install -y --no-install-recommends nats-server',
      'systemctl is-active --quiet nats-server',
      'systemctl disable --now nats-server',
    ]);
    expect(lines).toHaveLength(2);
  });

  it('leaves systemd alone where there is none', async () => {
    const { commands, options } = machine({ systemctl: 127 });
    await ensureNatsServer(options);
    expect(commands).not.toContain('systemctl disable --now nats-server');
  });

  it('says what to install when it may not or can not', async () => {
    const user = machine({});
    await expect(ensureNatsServer({ ...user.options, isRoot: false })).rejects.toThrow(
      /apt-get install nats-server/,
    );
    expect(user.commands).toEqual([]);
    await expect(ensureNatsServer(machine({ 'apt-get': 127 }).options)).rejects.toThrow(/NEMURI_NATS_SERVER/);
    const offline = machine({ 'apt-get install -y --no-install-recommends nats-server': 100 });
    await expect(ensureNatsServer(offline.options)).rejects.toThrow(/ended with 100/);
  });

  it('names the variable that is wrong instead of installing another one', async () => {
    const { commands, options } = machine({});
    const env = { NEMURI_NATS_SERVER: '/nowhere' };
    await expect(ensureNatsServer({ ...options, env })).rejects.toThrow(/NEMURI_NATS_SERVER is "\/nowhere"/);
    expect(commands).toEqual([]);
  });
});

describe('startNatsServer', () => {
  it('accepts clients when it resolves, and keeps its port and store over a kill', async () => {
    server = await startNatsServer({ storeDir: folder });
    expect(await accepts(server.port)).toBe(true);
    expect(server.url).toBe(`nats://127.0.0.1:${server.port}`);
    expect(await readdir(folder)).toContain('jetstream');
    const firstPid = server.pid;

    await server.kill('SIGKILL');
    expect(server.pid).toBeUndefined();
    expect(await accepts(server.port)).toBe(false);

    await server.restart();
    expect(await accepts(server.port)).toBe(true);
    expect(server.pid).not.toBe(firstPid);
  });

  it('ends a server that does not hear SIGTERM', async () => {
    server = await startNatsServer({ storeDir: folder, stopTimeoutMs: 50 });
    const { pid } = server;
    await server.kill('SIGSTOP');
    await server.stop();
    expect(pid !== undefined && isAlive(pid)).toBe(false);
  });

  it('tells a stranger on its port from itself', async () => {
    server = await startNatsServer({ storeDir: join(folder, 'one') });
    const second = startNatsServer({ storeDir: join(folder, 'two'), port: server.port });
    await expect(second).rejects.toThrow(/address already in use/);
  });

  it('shows what the server said when it does not start', async () => {
    await expect(startNatsServer({ storeDir: folder, extraConfig: 'nonsense {' })).rejects.toThrow(
      /Parse error/,
    );
    await expect(startNatsServer({ storeDir: folder, binary: join(folder, 'none') })).rejects.toThrow(
      /ENOENT/,
    );
  });

  it('leaves no server behind when its parent is killed', async () => {
    // A process of its own: the built file, so `npm run build` comes first.
    const script = `
      import(process.argv[1])
        .then(({ startNatsServer }) => startNatsServer({ storeDir: process.argv[2] }))
        .then((server) => process.stdout.write(String(server.pid)));`;
    const parent = spawn(process.execPath, [
      '-e',
      script,
      resolve('dist/libs/runtime/natsServer.js'),
      folder,
    ]);
    try {
      const pid = Number(
        await new Promise<string>((resolve) => parent.stdout.once('data', (d) => resolve(String(d)))),
      );
      expect(isAlive(pid)).toBe(true);
      parent.kill('SIGKILL');
      await until(() => !isAlive(pid));
    } finally {
      parent.kill('SIGKILL');
    }
  });
});
