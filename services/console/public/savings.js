import { api, byId, el } from './dom.js';
import { energy, mass, money, number } from './format.js';
import { t } from './words.js';

const everyMs = 10_000;
const times = ['today', 'week', 'month'];
const heads = { today: 'savingsToday', week: 'savingsWeek', month: 'savingsMonth' };

/** What was saved today, in a week and in a month: kWh, money, CO2. */
export function createSavings() {
  const box = byId('savings');
  let reports;
  const draw = () => {
    const known = times.filter((time) => reports?.[time]?.fromMs !== undefined);
    if (known.length === 0) {
      box.replaceChildren(el('p', { class: 'hint', text: t('savingsNone') }));
      return;
    }
    const row = (key, textOf) =>
      el(
        'tr',
        {},
        el('th', { scope: 'row', text: t(key) }),
        ...times.map((time) =>
          el('td', { text: reports[time]?.fromMs === undefined ? '–' : textOf(reports[time]) }),
        ),
      );
    const { today, month } = reports;
    const one = today.fromMs === undefined ? month : today;
    box.replaceChildren(
      el(
        'table',
        { class: 'numbers' },
        el(
          'thead',
          {},
          el('tr', {}, el('td'), ...times.map((time) => el('th', { scope: 'col', text: t(heads[time]) }))),
        ),
        el(
          'tbody',
          {},
          row('savingsEnergy', (report) => energy(report.savedKwh)),
          row('savingsShare', (report) => `${number(report.savedPercent, 1)} %`),
          row('savingsMoney', (report) =>
            report.savedCost === undefined ? t('noPrice') : money(report.savedCost, report.currency),
          ),
          row('savingsCarbon', (report) =>
            report.savedCo2Kg === undefined ? t('noFactor') : mass(report.savedCo2Kg),
          ),
        ),
      ),
      el('p', {
        class: 'hint',
        text: t('savingsNote', {
          error: energy(one.savedErrorKwh),
          modelled: number(one.modelledShare * 100),
        }),
      }),
    );
  };
  const ask = async () => {
    const answer = await api('/api/savings').catch(() => undefined);
    if (!answer) return;
    reports = answer;
    draw();
  };
  return {
    start() {
      void ask();
      setInterval(ask, everyMs);
    },
    draw,
  };
}
