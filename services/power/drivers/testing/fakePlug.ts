import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Dialogue, PlugState } from './plugDialogues.ts';

/** A smart plug that keeps up one of the dialogues of plugDialogues.ts. */
export interface FakePlug extends PlugState {
  readonly url: string;
  /** Method and path of each request, oldest first. */
  readonly requests: string[];
  /** Answers in place of the dialogue. */
  script: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  close(): Promise<void>;
}

export async function startFakePlug(dialogue: Dialogue): Promise<FakePlug> {
  const server = createServer((request, response) => {
    plug.requests.push(`${request.method} ${request.url}`);
    if (plug.script) return void plug.script(request, response);
    const target = request.url ?? '/';
    const url = new URL(target, 'http://plug');
    const asked = { method: request.method ?? 'GET', target, url, headers: request.headers };
    const { status, headers, body } = dialogue(plug, asked);
    response.writeHead(status, headers).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const plug: FakePlug = {
    url: `http://127.0.0.1:${address.port}`,
    isOn: false,
    powerWatts: 0,
    requests: [],
    script: undefined,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return plug;
}
