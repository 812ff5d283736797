import { api, byId, el } from './dom.js';
import { energy, number, span } from './format.js';
import { openSheet } from './sheet.js';
import { t } from './words.js';

const hours = [1, 6, 24];

/**
 * The sheet that tries other settings of a pool on the recorded load before they are applied. It ends the question
 * when it is closed.
 */
export async function openWhatif(pool) {
  const { settings, maxHours } = await api(`/api/whatif/${encodeURIComponent(pool)}`);
  const body = openSheet(t('whatifTitle', { pool }), { wide: true });
  const fields = settings.map(fieldOf);
  const since = el(
    'select',
    {},
    ...hours
      .filter((count) => count <= maxHours)
      .map((count) => el('option', { value: count, text: span(count * 3_600_000 + 1) })),
  );
  since.value = '6';
  const ask = el('button', { type: 'submit', class: 'primary', text: t('whatifAsk') });
  const stop = el('button', { type: 'button', text: t('cancel'), disabled: true });
  const said = el('p', { role: 'status', class: 'hint' });
  const problem = el('p', { class: 'problem', role: 'alert' });
  const result = el('div', { class: 'stack' });
  const form = el(
    'form',
    {},
    el(
      'div',
      { class: 'fields' },
      ...fields.map(({ label }) => label),
      el('label', {}, el('span', { text: t('whatifSince') }), since),
    ),
    el('div', { class: 'actions' }, ask, stop),
  );
  body.append(el('p', { text: t('whatifHint') }), form, said, problem, result);

  let asking;
  const onLeave = () => asking?.abort();
  stop.addEventListener('click', onLeave);
  byId('sheet').addEventListener('close', onLeave, { once: true });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const changed = fields.filter(({ input, value }) => Number(input.value) !== value);
    problem.textContent = changed.length === 0 ? t('whatifNothing') : '';
    if (changed.length === 0) return;
    asking = new AbortController();
    const { signal } = asking;
    ask.disabled = true;
    stop.disabled = false;
    said.textContent = t('whatifWorking');
    result.replaceChildren();
    const tried = Object.fromEntries(changed.map(({ key, input }) => [key, Number(input.value)]));
    try {
      const question = { pool, hours: Number(since.value), settings: tried };
      const report = await api('/api/whatif', { method: 'POST', body: question, signal });
      result.append(...answerParts(report, pool, tried));
      said.textContent = t('whatifDone', {
        time: span(report.seconds * 1_000),
        requests: number(report.requests),
      });
    } catch (error) {
      said.textContent = signal.aborted ? t('whatifStopped') : '';
      if (!signal.aborted) problem.textContent = error.message;
    } finally {
      ask.disabled = false;
      stop.disabled = true;
    }
  });
}

/** The field of one setting; what is configured now stands in it, and below its name. */
function fieldOf({ key, value, minimum, maximum, isWhole }) {
  const input = el('input', {
    type: 'number',
    required: true,
    value,
    min: minimum,
    max: maximum,
    step: isWhole ? 1 : 'any',
  });
  const label = el(
    'label',
    {},
    el('span', { text: t(`setting.${key}`) }),
    input,
    el('span', { class: 'hint', text: t('whatifNow', { key, value }) }),
  );
  return { key, value, input, label };
}

function answerParts({ happened, now, whatif }, pool, tried) {
  const wh = (value) => energy(value / 1_000);
  const percent = (share) => `${number(share * 100, 3)} %`;
  const row = (key, own, pick, textOf) => {
    const [before, after] = [pick(now), pick(whatif)];
    const difference = `${after < before ? '−' : '+'}${textOf(Math.abs(after - before))}`;
    const cells = [own, textOf(before), textOf(after), after === before ? '±0' : difference];
    return el('tr', {}, el('th', { scope: 'row', text: t(key) }), ...cells.map((text) => el('td', { text })));
  };
  const heads = ['whatifHappened', 'whatifAsIs', 'whatifChanged', 'whatifDifference'];
  return [
    el(
      'table',
      { class: 'numbers' },
      el(
        'thead',
        {},
        el('tr', {}, el('td'), ...heads.map((key) => el('th', { scope: 'col', text: t(key) }))),
      ),
      el(
        'tbody',
        {},
        row('savingsEnergy', wh(happened.energyWh), ({ energyWh }) => energyWh, wh),
        row('whatifLate', '–', ({ lateFraction }) => lateFraction, percent),
        row('whatifRefused', '–', ({ refusedFraction }) => refusedFraction, percent),
        row('whatifWakes', number(happened.wakes), ({ wakes }) => wakes, number),
      ),
    ),
    el('h3', { text: t('whatifApply') }),
    el('p', { text: t('whatifApplyHint') }),
    el('pre', { tabindex: '0', 'aria-label': t('whatifApply'), text: yamlOf(pool, tried) }),
  ];
}

/** The changed settings as they stand in the configuration file. Pure. */
export function yamlOf(pool, tried) {
  const lines = ['pools:', `  ${pool}:`];
  let section = '';
  for (const [key, value] of Object.entries(tried)) {
    const [name, of = ''] = key.split('.').reverse();
    if (of !== section && of !== '') lines.push(`    ${of}:`);
    section = of;
    lines.push(`${' '.repeat(of === '' ? 4 : 6)}${name}: ${value}`);
  }
  return lines.join('\n');
}
