import type { Browser, Page } from 'playwright-core';
import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import { recordHours, recordLoad } from '../../services/console/testing/pastLoad.ts';
import { openStage, type Stage } from '../../services/console/testing/stage.ts';
import { startChromium } from './chromium.ts';
import { faintTexts, namelessControls, until } from './look.ts';

/** What the console's page makes of the past, in a real browser. Needs `npm run build`. */

/** A what-if takes what others leave of the processor. */
const politeMs = 60_000;
let browser: Browser;

beforeAll(async () => {
  browser = await startChromium();
}, 60_000);
afterAll(() => browser.close());

describe('on a recorded load', () => {
  const energy = { offWatts: 5, idleWatts: 100, busyWatts: 200, setupWatts: 200, setupTimeMs: 20_000 };
  let stage: Stage;
  let page: Page;

  beforeAll(async () => {
    stage = await openStage({}, fleetConfig({ servers: 3, server: { capacityRps: 50, energy } }));
    page = await browser.newPage({ locale: 'en-US' });
  }, 60_000);
  afterAll(async () => {
    await page?.close();
    await stage?.close();
  });

  test(
    'tries a changed setting beside the present one, by keyboard, and says how to apply it',
    async () => {
      await page.goto(stage.address);
      await page.locator('#poolActions button', { hasText: 'What if…' }).press('Enter');
      const sheet = page.locator('#sheet');
      const field = sheet.getByLabel('Servers always awake');
      await field.fill('3');
      await field.press('Enter');
      await sheet
        .locator('.problem', { hasText: 'no load of pool web was recorded' })
        .waitFor({ timeout: politeMs });

      await recordLoad(stage);
      await field.press('Enter');
      await sheet.getByRole('button', { name: 'Cancel' }).press('Enter');
      await sheet.getByRole('status').filter({ hasText: 'Called off.' }).waitFor();
      await field.press('Enter');
      await sheet.getByRole('status').filter({ hasText: 'Worked out on' }).waitFor({ timeout: politeMs });
      const wakes = await sheet.locator('tr', { hasText: 'Wakes' }).locator('td').allTextContents();
      expect([wakes[0], Number(wakes[1]), wakes[2]]).toEqual(['0', expect.any(Number), '0']);
      expect(Number(wakes[1])).toBeGreaterThan(0);
      expect(await sheet.locator('pre').textContent()).toBe('pools:\n  web:\n    minServers: 3');
      expect(await sheet.locator('.problem').textContent()).toBe('');
      expect(await namelessControls(page)).toEqual([]);
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        expect(await faintTexts(page)).toEqual([]);
      }
      await page.keyboard.press('Escape');
      await sheet.waitFor({ state: 'hidden' });
    },
    4 * politeMs,
  );
});

describe('on a month of the ledger', () => {
  test('shows load and power of a day, a week and a month by the hour, and the quarter of an hour again', async () => {
    const stage = await openStage();
    const page = await browser.newPage({ locale: 'en-US', viewport: { width: 1_280, height: 1_400 } });
    try {
      await recordHours(stage, 30);
      await page.goto(stage.address);
      await page.locator('.tile').first().waitFor();
      const answered = async (hours: number) => {
        const query = `/api/hours?hours=${hours}`;
        const answer = await fetch(`${stage.address}${query}`);
        const { pools } = (await answer.json()) as { pools: Record<string, number[][]> };
        return pools.web ?? [];
      };
      const label = (chart: string) =>
        `(document.querySelector('#${chart} .uplot')?.getAttribute('aria-label') ?? '')`;
      for (const [name, hours] of [
        ['24 hours', 24],
        ['7 days', 168],
        ['30 days', 720],
      ] as const) {
        await page.getByLabel(name, { exact: true }).check();
        const points = await answered(hours);
        expect(points.length).toBeGreaterThanOrEqual(hours - 1);
        const [, load, watts, alwaysOn] = (points.at(-1) ?? []).map((value) => Math.round(value));
        await until(page, `${label('chartLoad')} === 'Load and capacity: load ${load} requests/s'`);
        await until(page, `${label('chartPower')} === 'Power: always on ${alwaysOn} W, drawn ${watts} W'`);
      }
      await page.keyboard.press('ArrowRight');
      await until(page, `${label('chartLoad')}.includes('capacity ')`);
      expect(await namelessControls(page)).toEqual([]);
      expect(await faintTexts(page)).toEqual([]);
    } finally {
      await page.close();
      await stage.close();
    }
  }, 60_000);
});
