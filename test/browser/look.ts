import type { Page } from 'playwright-core';

export const patienceMs = 20_000;

/** Resolves when the page says so. (Playwright's own waitForFunction needs what the page's security policy forbids.) */
export async function until(page: Page, condition: string): Promise<void> {
  const deadlineMs = Date.now() + patienceMs;
  while (!(await page.evaluate(condition))) {
    if (Date.now() > deadlineMs) throw new Error(`never: ${condition}`);
  }
}

/** Visible controls without a name that a screen reader could say. */
export function namelessControls(page: Page): Promise<string[]> {
  return page.evaluate(`
    [...document.querySelectorAll('button, select, input, a[href], summary, dialog[open]')]
      .filter((one) => one.checkVisibility())
      .filter((one) => {
        const by = (one.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id)?.textContent ?? '').join('');
        const labels = [...(one.labels ?? [])].map((label) => label.textContent).join('');
        const own = one.matches('button, a, summary') ? one.textContent : '';
        return !(one.getAttribute('aria-label') ?? '').trim() && !by.trim() && !labels.trim() && !own.trim();
      })
      .map((one) => one.outerHTML.slice(0, 120))`);
}

/** Text that stands out too little from what is behind it (WCAG 2.2, 1.4.3: 4.5, large text 3). */
export function faintTexts(page: Page): Promise<string[]> {
  return page.evaluate(`(() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = (colour) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (element) => {
      for (let one = element; one; one = one.parentElement) {
        const colour = rgba(getComputedStyle(one).backgroundColor);
        if (colour[3] > 250) return colour;
      }
      return [255, 255, 255, 255];
    };
    const faint = new Set();
    for (const element of document.querySelectorAll('main *, header *, dialog[open] *')) {
      const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!hasText || !element.checkVisibility() || element.closest(':disabled, .unseen')) continue;
      const style = getComputedStyle(element);
      const [a, b] = [light(rgba(style.color)), light(behind(element))].sort((x, y) => y - x);
      const needed = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
      if ((a + 0.05) / (b + 0.05) < needed) faint.add(element.className + ': ' + element.textContent.slice(0, 40));
    }
    return [...faint];
  })()`);
}
