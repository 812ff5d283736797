import { api, byId, el, setText } from './dom.js';
import { clock, moment } from './format.js';
import { knows, t } from './words.js';

const kinds = ['all', 'decision', 'power', 'health', 'traffic', 'agent', 'operator', 'config', 'energy'];
const searchDelayMs = 250;
const maxLines = 400;
/** Lines are placed by hand, each as high as the others: a new one on top then moves no layout. */
const lineHeight = 46;

/** One fact as a button that opens it. */
export function eventLine(said, nowMs, onOpen) {
  const gloss = `gloss.${said.type}`;
  const about = [said.server ?? said.pool, said.by].filter(Boolean).join(' · ');
  return el(
    'li',
    { 'data-sequence': said.sequence },
    el(
      'button',
      { type: 'button', class: 'event', onclick: () => onOpen(said.sequence) },
      el('time', {
        datetime: new Date(said.timeMs).toISOString(),
        title: moment(said.timeMs, nowMs),
        text: clock(said.timeMs),
      }),
      el('span', {}, el('b', { text: said.type }), ' ', el('span', { class: 'about', text: about })),
      said.text
        ? el('span', { class: 'text', lang: 'en', text: said.text })
        : knows(gloss) && el('span', { class: 'text', text: t(gloss) }),
    ),
  );
}

/**
 * The history: newest first, live at the top while nothing is filtered; older facts are fetched when asked for.
 */
export function createHistory({ onOpen, nowMs }) {
  const list = byId('events');
  const box = list.parentElement;
  const older = byId('older');
  const kind = byId('filterKind');
  const text = byId('filterText');
  let newest = 0;
  let before = 0;
  let isFiltered = false;
  let asking = new AbortController();
  let timer = 0;

  const place = () => {
    for (const [index, line] of [...list.children].entries()) {
      line.style.transform = `translateY(${index * lineHeight}px)`;
    }
    list.style.height = `${list.children.length * lineHeight}px`;
  };
  const ask = async (isMore) => {
    asking.abort();
    asking = new AbortController();
    const query = new URLSearchParams();
    if (kind.value !== 'all' && kind.value !== '') query.set('kind', kind.value);
    if (text.value.trim() !== '') query.set('text', text.value.trim());
    if (isMore && before > 0) query.set('before', String(before));
    isFiltered = query.has('kind') || query.has('text');
    const { signal } = asking;
    const answer = await api(`/api/events?${query}`, { signal }).catch((error) => {
      if (!signal.aborted) setText(older, error.message);
    });
    if (!answer) return;
    const lines = answer.events.map((said) => eventLine(said, nowMs(), onOpen));
    if (isMore) list.append(...lines);
    else list.replaceChildren(...lines);
    if (list.children.length === 0) list.append(el('li', { class: 'hint', text: t('noEvents') }));
    place();
    if (!isMore) newest = Math.max(newest, answer.events[0]?.sequence ?? 0);
    before = answer.before;
    older.disabled = before === 0;
    setText(older, t('older'));
  };
  older.addEventListener('click', () => ask(true));
  kind.addEventListener('change', () => ask(false));
  text.addEventListener('input', () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => ask(false), searchDelayMs);
  });
  byId('filters').addEventListener('submit', (event) => event.preventDefault());

  return {
    translate() {
      const chosen = kind.value || 'all';
      kind.replaceChildren(...kinds.map((name) => el('option', { value: name, text: t(`kind.${name}`) })));
      kind.value = chosen;
    },
    start: () => ask(false),
    /** New facts, oldest first. */
    draw(events) {
      if (isFiltered || newest === 0) return;
      const fresh = events.filter(({ sequence }) => sequence > newest);
      if (fresh.length === 0) return;
      newest = fresh.at(-1).sequence;
      list.prepend(...fresh.reverse().map((said) => eventLine(said, nowMs(), onOpen)));
      // Who reads further down is not pushed away.
      if (box.scrollTop > 4) box.scrollTop += fresh.length * lineHeight;
      while (list.children.length > maxLines) {
        list.lastElementChild.remove();
        before = Number(list.lastElementChild.dataset.sequence);
        older.disabled = false;
      }
      place();
    },
  };
}
