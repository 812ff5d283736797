import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../../libs/runtime/freePort.ts';

/** nginx as the server behind the proxy: a web server that is not Node's. */
export interface NginxOrigin {
  /** Answers everything with 200 and `ok`. */
  readonly plainPort: number;
  /** Files: PUT, GET, ranges, conditions; `/packed/` is sent in chunks; `x-seen` says what came of some headers. */
  readonly filesPort: number;
  /** The request lines that came to either port. */
  seen(): Promise<string[]>;
  stop(): Promise<void>;
}

function configOf(folder: string, plainPort: number, filesPort: number): string {
  return `daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
user root;
events { worker_connections 512; }
http {
  log_format line '$request';
  access_log ${folder}/access.log line;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  client_max_body_size 100m; default_type text/plain;
  add_header x-seen "$http_host|$http_x_forwarded_for|$http_x_forwarded_proto|$http_via|$http_connection|$http_te|$http_x_named" always;
  server { listen 127.0.0.1:${plainPort}; location / { return 200 ok; } }
  server {
    listen 127.0.0.1:${filesPort}; root ${folder}/root; dav_methods PUT DELETE;
    location /packed/ { gzip on; gzip_min_length 1; alias ${folder}/root/; }
  }
}
`;
}

export async function startNginxOrigin(): Promise<NginxOrigin> {
  const folder = await mkdtemp(join(tmpdir(), 'nemuri-nginx-'));
  await mkdir(join(folder, 'root'));
  const plainPort = await freePort('127.0.0.1');
  const filesPort = await freePort('127.0.0.1');
  const file = join(folder, 'nginx.conf');
  await writeFile(file, configOf(folder, plainPort, filesPort));
  const child = spawn('nginx', ['-c', file, '-p', folder, '-e', join(folder, 'error.log')], {
    stdio: 'ignore',
  });
  child.on('error', () => undefined);
  await untilListening(filesPort, child);
  const lines = async () => (await readFile(join(folder, 'access.log'), 'utf8')).split('\n').slice(0, -1);
  return {
    plainPort,
    filesPort,
    seen: lines,
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}

async function untilListening(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch {
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      socket.destroy();
    }
  }
}
