import type { RequestListener } from 'node:http';
import type { Browser, Page } from 'playwright-core';
import { type WebSocket, WebSocketServer } from 'ws';
import { describeWith } from '../../services/power/drivers/testing/peers.ts';
import { configOf, createSite, type Site } from '../../services/proxy/testing/site.ts';
import { startChromium } from './chromium.ts';

/** A page that a real browser gets through the proxy, and what it keeps open. */
let browser: Browser;
let site: Site;
let page: Page;
let sockets: WebSocketServer;

const serve: RequestListener = (request, response) => {
  if (request.url === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('retry: 20\ndata: hello\n\n');
    return;
  }
  response.writeHead(200, { 'content-type': 'text/html' });
  response.end('<!doctype html><title>test</title>');
};

describeWith({ chromium: 'chromium' }, 'a real browser', () => {
  beforeAll(async () => {
    browser = await startChromium();
  }, 60_000);

  afterAll(() => browser.close());

  beforeEach(async () => {
    site = createSite();
    const ports = [await site.origin(serve), await site.origin(serve)];
    sockets = new WebSocketServer({ noServer: true });
    sockets.on('connection', (socket: WebSocket) =>
      socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary })),
    );
    for (const origin of site.origins) {
      origin.on('upgrade', (request, socket, head) =>
        sockets.handleUpgrade(request, socket, head, (open) => sockets.emit('connection', open)),
      );
    }
    await site.start(configOf(ports, { drainTimeoutMs: 200, balancing: { slowStartMs: 0 } }));
    await site.ready('s1');
    page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${site.port}/`);
  });

  afterEach(async () => {
    await page.close();
    await site.close();
    sockets.close();
  });

  const sleepFirst = () => {
    const data = { server: 's1', pool: 'web', sleepId: 'sleep-1', drainTimeoutMs: 200, reason: 'test' };
    return site.harness.publish({ type: 'SleepRequested', data });
  };

  test('a browser’s WebSocket: text, a megabyte of bytes, and its close', async () => {
    const result = await page.evaluate(`new Promise((resolve, reject) => {
    const socket = new WebSocket('ws://' + location.host + '/chat');
    socket.binaryType = 'arraybuffer';
    const bytes = Uint8Array.from({ length: 1000000 }, (_, index) => index % 251);
    const got = [];
    socket.onerror = () => reject(new Error('error'));
    socket.onopen = () => { socket.send('hello'); socket.send(bytes); };
    socket.onmessage = ({ data }) => {
      got.push(data);
      if (got.length === 2) socket.close(1000, 'done');
    };
    socket.onclose = ({ code, wasClean }) => resolve({
      code, wasClean, text: got[0], same: new Uint8Array(got[1]).every((byte, index) => byte === bytes[index]),
    });
  })`);
    expect(result).toEqual({ code: 1000, wasClean: true, text: 'hello', same: true });
  });

  test('a browser’s WebSocket is closed with 1012 at the drain time-out, and opens on another server', async () => {
    await page.evaluate(`new Promise((resolve) => {
    const socket = new WebSocket('ws://' + location.host + '/chat');
    window.closeCode = new Promise((tell) => { socket.onclose = ({ code }) => tell(code); });
    socket.onopen = resolve;
  })`);
    await site.ready('s2');
    await sleepFirst();
    expect(await page.evaluate('window.closeCode')).toBe(1012);
    const again = await page.evaluate(`new Promise((resolve) => {
    const socket = new WebSocket('ws://' + location.host + '/chat');
    socket.onopen = () => resolve('open');
    socket.onclose = () => resolve('closed');
  })`);
    expect(again).toBe('open');
  });

  test('a browser’s event stream goes on by itself on another server', async () => {
    await page.evaluate(`new Promise((resolve) => {
    const events = new EventSource('/events');
    let heard = 0;
    window.twice = new Promise((tell) => {
      events.onmessage = ({ data }) => { heard += 1; resolve(); if (heard === 2) tell(data); };
    });
  })`);
    await site.ready('s2');
    await sleepFirst();
    expect(await page.evaluate('window.twice')).toBe('hello');
  });
});
