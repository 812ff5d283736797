import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

/** Where Debian, other distributions and Chrome's own packages put it. */
const places = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** @throws Error saying what to install, when there is no browser. `NEMURI_CHROMIUM` names one elsewhere. */
export function findChromium(): string {
  const found = [process.env.NEMURI_CHROMIUM, ...places].find((path) => path && existsSync(path));
  if (!found) throw new Error('no browser: apt-get install chromium, or set NEMURI_CHROMIUM to one');
  return found;
}

/** Starts a browser without a window. The caller closes it. */
export function startChromium(): Promise<Browser> {
  // A container's root has no user namespace for the sandbox; what is opened here is ours.
  const args = ['--no-sandbox', '--disable-dev-shm-usage'];
  return chromium.launch({ executablePath: findChromium(), args });
}
