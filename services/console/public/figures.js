import { byId, el, setText } from './dom.js';
import { number, wholeSpan } from './format.js';
import { lastOf } from './store.js';
import { t } from './words.js';

const moving = new Set(['waking', 'draining', 'stopping']);

/** The key figures, each with its note. Pure. */
export function figuresOf({ tiles, pools, columns, nowMs }) {
  const second = nowMs / 1_000 - 1;
  const last = (name) => lastOf(columns.seconds, columns[name], second);
  const count = (fits) => tiles.filter(fits).length;
  const sum = (name) => pools.reduce((total, pool) => total + pool[name], 0);
  const watts = last('watts');
  const alwaysOn = last('alwaysOn');
  const share = watts === null || !alwaysOn ? null : (1 - watts / alwaysOn) * 100;
  const saved = watts === null || alwaysOn === null ? null : alwaysOn - watts;
  const figure = (key, value, unit, values, kind = '') => ({
    key,
    value,
    unit,
    kind,
    note: t(`figure${key}Note${kind}`, values),
  });
  return [
    figure('Ready', `${number(count((tile) => tile.lifecycle === 'ready'))} / ${number(tiles.length)}`, '', {
      asleep: number(count((tile) => tile.lifecycle === 'asleep')),
      moving: number(count((tile) => moving.has(tile.lifecycle))),
    }),
    figure('Load', number(last('load')), t('unitRps'), { capacity: number(sum('readyCapacityRps')) }),
    figure('Power', number(watts), 'W', { watts: number(alwaysOn) }),
    figure(
      'Saving',
      number(share),
      '%',
      { watts: number(saved === null ? null : Math.abs(saved)) },
      saved !== null && saved < 0 ? 'More' : '',
    ),
    figure('Latency', number(last('p99')), 'ms', { p50: number(last('p50')) }),
    figure('Parked', number(sum('parked')), '', { inFlight: number(sum('inFlight')) }),
  ];
}

export function createFigures() {
  const list = byId('figures');
  const known = new Map();
  return {
    draw(figures) {
      for (const { key, value, unit, note, kind } of figures) {
        let parts = known.get(key);
        if (!parts) {
          parts = {
            label: el('dt'),
            value: el('span', { class: 'value' }),
            unit: el('span', { class: 'unit' }),
            note: el('span', { class: 'note' }),
          };
          known.set(key, parts);
          list.append(
            el(
              'div',
              { class: 'figure', id: `figure${key}` },
              parts.label,
              el('dd', {}, parts.value, parts.unit, parts.note),
            ),
          );
        }
        parts.value.parentElement.classList.toggle('isMore', kind === 'More');
        setText(parts.label, t(`figure${key}`));
        setText(parts.value, value);
        setText(parts.unit, unit);
        setText(parts.note, note);
      }
    },
  };
}

/** The last decision of each pool that is shown, in its own words. */
export function createDecisions({ onOpen }) {
  const box = byId('decision');
  const known = new Map();
  const none = el('p', { class: 'hint' });
  box.append(none);
  return {
    draw(pools, nowMs) {
      const decided = pools.filter(({ decision }) => decision);
      none.hidden = decided.length > 0;
      setText(none, t('nothingDecided'));
      const wanted = new Set(decided.map(({ name }) => name));
      for (const [name, { item }] of known) {
        if (wanted.has(name)) continue;
        item.remove();
        known.delete(name);
      }
      for (const { name, servers, decision } of decided) {
        let parts = known.get(name);
        if (!parts) {
          parts = {
            head: el('p', { class: 'sum' }),
            reason: el('p', { class: 'reason', lang: 'en' }),
            open: el('button', { type: 'button' }),
          };
          parts.item = el('div', { class: 'decided' }, parts.head, parts.reason, parts.open);
          parts.open.addEventListener('click', () => onOpen(parts.sequence));
          known.set(name, parts);
          box.append(parts.item);
        }
        parts.sequence = decision.sequence;
        const time = wholeSpan(nowMs - decision.timeMs);
        const head = t('decidedAgo', { pool: name, target: decision.target, servers, time });
        setText(parts.head, decision.stale ? `${head}. ${t('decisionStale')}` : head);
        setText(parts.reason, decision.reason);
        setText(parts.open, t('decisionOpen'));
      }
    },
  };
}
