/** Small helpers of the page. Text from outside only ever becomes text. */

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/**
 * An element with attributes and children; strings become text nodes.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] `on…` are listeners; undefined, null and false leave it out
 * @param {...(Node|string|undefined|false)} children
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), /** @type {any} */ (value));
    else if (name === 'text') element.textContent = String(value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

/** The sign of a lifecycle: a shape, so that colour is never the only one. */
export function sign(lifecycle) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'sign');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#g-${lifecycle}`);
  svg.append(use);
  return svg;
}

/** Sets text only where it differs: an unchanged node costs no layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

let toastTimer = 0;

/** Says something once, to the eye and to screen readers. */
export function say(text, isProblem = false) {
  const toast = byId('toast');
  toast.hidden = false;
  toast.classList.toggle('isProblem', isProblem);
  toast.textContent = text;
  clearTimeout(toastTimer);
  toastTimer = window.setTimeout(() => {
    toast.hidden = true;
  }, 6_000);
}

/**
 * Asks the console's API. @returns the answer's JSON.
 * @throws Error with the problem's title and detail.
 */
export async function api(path, { method = 'GET', body, signal } = {}) {
  const response = await fetch(path, {
    method,
    signal,
    headers: {
      accept: 'application/json',
      ...(method === 'GET' ? {} : { 'x-nemuri-console': '1' }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const error = new Error(
    [answer.title, answer.detail].filter(Boolean).join(': ') || `HTTP ${response.status}`,
  );
  throw Object.assign(error, { status: response.status, code: answer.code });
}
