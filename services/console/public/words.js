import { english } from './english.js';
import { japanese } from './japanese.js';

/** The page's texts, in the language that was chosen. */
export const dictionary = { en: english, ja: japanese };

const storageKey = 'nemuri.language';
let current = initial();

function initial() {
  const kept = globalThis.localStorage?.getItem(storageKey);
  if (kept === 'en' || kept === 'ja') return kept;
  return globalThis.navigator?.language?.startsWith('ja') ? 'ja' : 'en';
}

export const language = () => current;

export function setLanguage(next) {
  current = next;
  globalThis.localStorage?.setItem(storageKey, next);
}

/** A text of the page with its `{places}` filled in; the key itself where there is none. */
export function t(key, values = {}) {
  const text = dictionary[current][key] ?? dictionary.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (place, name) => (name in values ? String(values[name]) : place));
}

/** Is there such a text? */
export function knows(key) {
  return dictionary.en[key] !== undefined;
}

/** Writes all fixed texts of a part of the page. */
export function translate(root) {
  for (const element of root.querySelectorAll('[data-t]')) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll('[data-t-label]')) {
    element.setAttribute('aria-label', t(element.dataset.tLabel));
    element.title = t(element.dataset.tLabel);
  }
  for (const element of root.querySelectorAll('[data-t-placeholder]'))
    element.placeholder = t(element.dataset.tPlaceholder);
}
