import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { freePort } from '../../libs/runtime/freePort.ts';
import { describeWith } from '../../services/power/drivers/testing/peers.ts';
import { createCertificates } from '../../services/proxy/testing/certificate.ts';
import { configOf, createSite, type Site } from '../../services/proxy/testing/site.ts';

/** HTTP/2 by nghttp2's h2load (Debian: nghttp2-client), an implementation that is not Node's. */
let site: Site;
const certificates = createCertificates();
const run = promisify(execFile);

beforeEach(() => {
  site = createSite();
});

afterEach(async () => {
  await site.close();
  await certificates.remove();
});

describeWith({ h2load: 'nghttp2-client' }, 'h2load', () => {
  test.each([
    ['many streams on few connections', ['-c4', '-m50'], 1_000],
    ['one stream a connection', ['-c50', '-m1'], 1_000],
    [
      'small windows and headers that repeat',
      ['-c2', '-m20', '-w14', '-W16', '-H', `x-long: ${'a'.repeat(500)}`],
      400,
    ],
  ])('%s', async (_what, options, count) => {
    const body = Buffer.alloc(20_000, 'x');
    const origin = await site.origin((_request, response) => response.end(body));
    const port = await freePort('127.0.0.1');
    const tls = { host: '127.0.0.1', port, certificates: [await certificates.make('a.example')] };
    await site.start(configOf([origin]), { tls });
    await site.ready('s1');
    const { stdout } = await run('h2load', [...options, `-n${count}`, `https://127.0.0.1:${port}/`]);
    expect(stdout).toContain('Application protocol: h2');
    expect(stdout).toContain(`${count} succeeded, 0 failed, 0 errored, 0 timeout`);
    expect(stdout).toContain(`status codes: ${count} 2xx`);
    expect(stdout).toMatch(new RegExp(`traffic: .*\\(${count * body.length}\\) data`));
  });
});
