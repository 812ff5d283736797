import { byId, el, setAttribute, setText, sign } from './dom.js';
import { moment, number, span, wholeSpan } from './format.js';
import { t } from './words.js';

/** More servers than this are shown as a heat-map. */
export const denseFrom = 49;

/** So few get wide tiles. */
const fewTo = 9;

/** Why a server is in its state, as a sentence. */
export function whyText(why, nowMs) {
  return t(`why.${why.key}`, {
    said: why.said ?? '',
    by: why.by ?? '',
    until: why.untilMs === undefined ? '' : moment(why.untilMs, nowMs),
  });
}

/** A rate with a digit more where it is small. */
export function rateText(rps) {
  return t('requestsPerSecond', { rps: number(rps, rps > 0 && rps < 10 ? 1 : 0) });
}

/** What a tile says after its lifecycle: how long until it is ready, or how long it has been so. */
export function whenText(tile, nowMs) {
  if (tile.readyAtMs === undefined) return t('since', { time: wholeSpan(nowMs - tile.sinceMs) });
  const left = tile.readyAtMs - nowMs;
  return left > 0 ? t('readyIn', { time: span(left) }) : t('readySoon');
}

/** Everything of a tile in one line: for screen readers, and for the line above the heat-map. */
export function tileLine(tile, nowMs) {
  return [
    tile.name,
    t(`lifecycle.${tile.lifecycle}`),
    tile.cordoned && t('cordoned'),
    tile.health === 'unhealthy' && t('unhealthy'),
    whenText(tile, nowMs),
    tile.watts !== undefined && `${number(tile.watts)} W`,
    tile.rps !== undefined && rateText(tile.rps),
    tile.inFlight !== undefined && t('inFlight', { count: number(tile.inFlight) }),
    whyText(tile.why, nowMs),
  ]
    .filter(Boolean)
    .join(' · ');
}

/** The share of its capacity that a server serves, 0 to 1. */
export function loadShare(tile) {
  return tile.rps === undefined ? 0 : Math.min(1, tile.rps / tile.capacityRps);
}

/** How many servers are in each lifecycle. */
export function sumText(tiles) {
  const counts = new Map();
  for (const { lifecycle } of tiles) counts.set(lifecycle, (counts.get(lifecycle) ?? 0) + 1);
  const states = [...counts].map(
    ([lifecycle, count]) => `${number(count)} ${t(`lifecycle.${lifecycle}`).toLowerCase()}`,
  );
  return states.join(', ');
}

/**
 * The rack. Each tile is a button made once and changed where it differs; the arrow keys walk, so that 600 tiles are one
 * stop of the tab key.
 */
export function createRack({ onOpen }) {
  const list = byId('tiles');
  const glance = byId('glance');
  const known = new Map();
  let isDense = false;
  let glanced;
  let here;

  const names = () => [...known.keys()];
  const focusOn = (name) => {
    known.get(here)?.button.setAttribute('tabindex', '-1');
    here = name;
    const entry = known.get(name);
    entry?.button.setAttribute('tabindex', '0');
    return entry;
  };
  list.addEventListener('keydown', (event) => {
    const all = names();
    const index = all.indexOf(here);
    const row = rowLength(list);
    const steps = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: row,
      ArrowUp: -row,
      Home: -all.length,
      End: all.length,
    };
    const step = steps[event.key];
    if (step === undefined || index < 0) return;
    event.preventDefault();
    const next = all[Math.min(all.length - 1, Math.max(0, index + step))];
    focusOn(next)?.button.focus();
  });
  const lookAt = (event) => {
    const name = event.target.closest?.('button')?.dataset.server;
    if (!name) return;
    glanced = name;
    if (event.type === 'focusin') focusOn(name);
  };
  list.addEventListener('pointerover', lookAt);
  list.addEventListener('focusin', lookAt);
  list.addEventListener('click', (event) => {
    const name = event.target.closest('button')?.dataset.server;
    if (name) onOpen(name);
  });

  return {
    /** Draws these tiles as they are at `nowMs`. */
    draw(tiles, nowMs) {
      const dense = tiles.length >= denseFrom;
      if (dense !== isDense) {
        isDense = dense;
        for (const { item } of known.values()) item.remove();
        known.clear();
      }
      list.classList.toggle('dense', dense);
      list.classList.toggle('few', tiles.length <= fewTo);
      glance.hidden = !dense;
      const wanted = new Set(tiles.map(({ name }) => name));
      for (const [name, { item }] of known) {
        if (wanted.has(name)) continue;
        item.remove();
        known.delete(name);
      }
      for (const tile of tiles) {
        let entry = known.get(tile.name);
        if (!entry) {
          entry = dense ? makeCell(tile.name) : makeTile(tile.name);
          known.set(tile.name, entry);
          list.append(entry.item);
        }
        if (dense) drawCell(entry, tile);
        else drawTile(entry, tile, nowMs);
      }
      if (!known.has(here)) focusOn(names()[0]);
      const looked = tiles.find(({ name }) => name === glanced);
      if (dense) setText(glance, looked ? tileLine(looked, nowMs) : t('glanceHint'));
    },
  };
}

/** How many tiles stand in the first row. */
function rowLength(list) {
  const [first, ...others] = list.children;
  const index = others.findIndex((item) => item.offsetTop > (first?.offsetTop ?? 0));
  return index < 0 ? list.children.length : index + 1;
}

function makeCell(name) {
  const fill = el('span', { class: 'fill' });
  const mark = sign('asleep');
  const button = el(
    'button',
    { type: 'button', class: 'cell', tabindex: '-1', 'data-server': name },
    fill,
    mark,
  );
  return { item: el('li', {}, button), button, fill, mark: mark.firstChild };
}

function drawCell({ button, fill, mark }, tile) {
  drawState(button, mark, tile);
  setAttribute(button, 'aria-label', stateLabel(tile));
  setScale(fill, 'scaleY', loadShare(tile));
}

function makeTile(name) {
  const mark = sign('asleep');
  const parts = {
    state: el('span', { class: 'state' }),
    when: el('span', { class: 'when' }),
    watts: el('span', { class: 'watts' }),
    flags: el('span', { class: 'flags' }),
    fill: el('span', { class: 'fill' }),
    rate: el('span', {}),
    flight: el('span', {}),
    why: el('span', { class: 'why' }),
  };
  const button = el(
    'button',
    { type: 'button', class: 'tile', tabindex: '-1', 'data-server': name },
    el('span', { class: 'top' }, mark, el('span', { class: 'name', text: name }), parts.flags, parts.watts),
    el('span', { class: 'line' }, parts.state, parts.when),
    el('span', { class: 'meterBar' }, parts.fill),
    el('span', { class: 'line small' }, parts.rate, parts.flight),
    parts.why,
  );
  return { item: el('li', {}, button), button, mark: mark.firstChild, ...parts };
}

function drawTile(entry, tile, nowMs) {
  drawState(entry.button, entry.mark, tile);
  setText(entry.state, t(`lifecycle.${tile.lifecycle}`));
  setText(entry.when, whenText(tile, nowMs));
  setText(entry.watts, tile.watts === undefined ? '' : `${number(tile.watts)} W`);
  const flags = [tile.cordoned && t('cordoned'), tile.health === 'unhealthy' && t('unhealthy')].filter(
    Boolean,
  );
  setText(entry.flags, flags.join(', '));
  setText(entry.rate, tile.rps === undefined ? '' : rateText(tile.rps));
  setText(entry.flight, tile.inFlight === undefined ? '' : t('inFlight', { count: number(tile.inFlight) }));
  setText(entry.why, whyText(tile.why, nowMs));
  setScale(entry.fill, 'scaleX', loadShare(tile));
}

function drawState(button, mark, tile) {
  setAttribute(button, 'data-lifecycle', tile.lifecycle);
  button.classList.toggle('isCordoned', tile.cordoned);
  button.classList.toggle('isUnhealthy', tile.health === 'unhealthy' || tile.contradictions !== undefined);
  setAttribute(mark, 'href', `#g-${tile.lifecycle}`);
}

function stateLabel(tile) {
  const flags = [tile.cordoned && t('cordoned'), tile.health === 'unhealthy' && t('unhealthy')].filter(
    Boolean,
  );
  return [tile.name, t(`lifecycle.${tile.lifecycle}`), ...flags].join(', ');
}

function setScale(fill, axis, share) {
  const value = `${axis}(${share.toFixed(2)})`;
  if (fill.style.transform !== value) fill.style.transform = value;
}
