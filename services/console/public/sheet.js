import { api, byId, el, say } from './dom.js';
import { t } from './words.js';

const whoKey = 'nemuri.who';

/** Shows a side sheet; the browser keeps the focus in it and gives it back. @returns its body, to be filled. */
export function openSheet(title, { wide = false } = {}) {
  const sheet = byId('sheet');
  const body = el('div', { class: 'stack' });
  sheet.classList.toggle('wide', wide);
  sheet.replaceChildren(
    el(
      'div',
      { class: 'cardHead' },
      el('h2', { id: 'sheetTitle', text: title }),
      el('span', { class: 'gap' }),
      el('button', { type: 'button', text: t('close'), onclick: () => sheet.close() }),
    ),
    body,
  );
  if (!sheet.open) sheet.showModal();
  sheet.scrollTop = 0;
  return body;
}

/** A table of names and values; what has no value is left out. */
export function factTable(rows, extra = {}) {
  const shown = rows.filter(([, value]) => value !== undefined && value !== '');
  return el(
    'table',
    extra,
    el(
      'tbody',
      {},
      ...shown.map(([name, value]) => el('tr', {}, el('th', { scope: 'row', text: name }), cell(value))),
    ),
  );
}

function cell(value) {
  return value instanceof Node ? el('td', {}, value) : el('td', { text: String(value) });
}

const durations = [
  ['minutes30', 30],
  ['hours2', 120],
  ['hours8', 480],
  ['hours24', 1_440],
  ['days7', 10_080],
];
/** What holds for a time; of a cordon it may be left open. */
const timed = new Set(['wake', 'sleep', 'drill', 'cordon']);

/**
 * Asks for a reason and a confirmation, and publishes the operator's fact.
 * @param {{ verb: string, what: { server?: string, pool?: string }, most?: number, who?: string }} action
 */
export function confirmAction({ verb, what, most = 1, who }) {
  const dialog = byId('ask');
  const name = what.server ?? what.pool;
  const reason = el('input', { type: 'text', required: true, maxlength: '2000', autocomplete: 'off' });
  const by = el('input', {
    type: 'text',
    required: true,
    maxlength: '128',
    value: localStorage.getItem(whoKey) ?? '',
  });
  const duration = el(
    'select',
    {},
    ...durations.map(([key, minutes]) => el('option', { value: minutes, text: t(key) })),
    verb === 'cordon' && el('option', { value: '', text: t('untilUncordoned') }),
  );
  duration.value = '120';
  const servers = el('input', {
    type: 'number',
    required: true,
    min: '0',
    max: String(most),
    value: String(most),
  });
  const problem = el('p', { class: 'problem', role: 'alert' });
  const label = (key, input) => el('label', {}, el('span', { text: t(key) }), input);
  const send = el('button', { type: 'submit', class: 'primary', text: t(`verb.${verb}`).replace('…', '') });
  const form = el(
    'form',
    { method: 'dialog' },
    el('h2', { id: 'askTitle', text: `${t(`verb.${verb}`).replace('…', '')}: ${name}` }),
    el('p', { text: t(`ask.${verb}`, { what: name }) }),
    verb === 'pin' && label('pinServers', servers),
    timed.has(verb) && label('duration', duration),
    label('reason', reason),
    who === undefined && label('yourName', by),
    problem,
    el(
      'div',
      { class: 'buttons' },
      el('button', { type: 'button', text: t('cancel'), onclick: () => dialog.close() }),
      send,
    ),
  );
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      if (who === undefined) localStorage.setItem(whoKey, by.value);
      const fact = await api('/api/actions', {
        method: 'POST',
        body: {
          verb,
          ...what,
          reason: reason.value,
          ...(who === undefined ? { by: by.value } : {}),
          ...(verb === 'pin' ? { servers: Number(servers.value) } : {}),
          ...(timed.has(verb) && duration.value !== '' ? { forMs: Number(duration.value) * 60_000 } : {}),
        },
      });
      dialog.close();
      say(t('done', fact));
    } catch (error) {
      problem.textContent = error.message;
      send.disabled = false;
    }
  });
  dialog.replaceChildren(form);
  dialog.showModal();
  reason.focus();
}
