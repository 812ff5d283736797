import { api, byId, el } from './dom.js';
import { clock, moment, number, span } from './format.js';
import { eventLine } from './history.js';
import { rateText, whenText, whyText } from './rack.js';
import { confirmAction, factTable, openSheet } from './sheet.js';
import { openTrace } from './traces.js';
import { knows, t } from './words.js';

/** The actions that make sense on a server as it is. */
export function serverVerbs(tile) {
  return [
    tile.cordoned ? 'uncordon' : 'cordon',
    'wake',
    'sleep',
    ...(tile.lifecycle === 'asleep' ? ['drill'] : []),
  ];
}

/** A server, opened: what it is, why, what can be done, and its last facts. */
export async function openServer(tile, { nowMs, session, isThen, onOpenFact }) {
  const body = openSheet(tile.name);
  body.append(
    el(
      'p',
      { class: 'lead' },
      el('b', { text: t(`lifecycle.${tile.lifecycle}`) }),
      ` · ${whenText(tile, nowMs)}`,
    ),
    el('p', { text: whyText(tile.why, nowMs) }),
    ...(tile.failedItsDrill ? [el('p', { class: 'problem', text: t('failedDrill') })] : []),
  );
  if (!isThen) {
    const buttons = serverVerbs(tile).map((verb) =>
      el('button', {
        type: 'button',
        text: t(`verb.${verb}`),
        onclick: () => confirmAction({ verb, what: { server: tile.name }, who: session.who }),
      }),
    );
    body.append(el('div', { class: 'actions', role: 'group', 'aria-label': t('actions') }, ...buttons));
  }
  body.append(
    factTable([
      [t('factPool'), tile.pool],
      [t('factPower'), t(`power.${tile.powerState}`)],
      [t('factHealth'), t(`health.${tile.health}`) + (tile.cordoned ? `, ${t('cordoned')}` : '')],
      [t('factSince'), moment(tile.sinceMs, nowMs)],
      [
        t('factWatts'),
        tile.watts === undefined
          ? undefined
          : `${number(tile.watts)} W${tile.meter === 'modelled' ? ` (${t('modelled')})` : ''}`,
      ],
      [
        t('factRps'),
        tile.rps === undefined
          ? undefined
          : `${rateText(tile.rps)}, ${t('inFlight', { count: number(tile.inFlight) })}`,
      ],
      [t('factCapacity'), rateText(tile.capacityRps)],
      [t('factSetup'), span(tile.setupMs)],
      [t('factContradictions'), tile.contradictions?.join(', ')],
    ]),
  );
  if (tile.traceId) body.append(el('div', {}, traceButton(tile.traceId, session)));
  const list = el('ol', { class: 'plain' });
  body.append(el('h3', { text: t('recent') }), list);
  const answer = await api(`/api/events?limit=12&server=${encodeURIComponent(tile.name)}`).catch(() => ({
    events: [],
  }));
  list.append(...answer.events.map((said) => eventLine(said, nowMs, onOpenFact)));
}

function traceButton(traceId, session) {
  const onclick = () => openTrace(traceId, session);
  return el('button', { type: 'button', text: t('showTrace'), onclick });
}

/** One fact of the history, opened; a decision with its inputs and alternatives. */
export async function openFact(sequence, { nowMs, session, onShowThen }) {
  const { event, alternatives } = await api(`/api/events/${sequence}`);
  const body = openSheet(t('factTitle', { sequence: event.sequence, type: event.type }));
  const { data } = event;
  const sentence = data.reason ?? data.evidence ?? data.verdict ?? data.error;
  const gloss = `gloss.${event.type}`;
  if (sentence) body.append(el('p', { class: 'lead', lang: 'en', text: sentence }));
  else if (knows(gloss)) body.append(el('p', { class: 'lead', text: t(gloss) }));
  const traceId = event.traceparent?.split('-')[1];
  const showThen = () => {
    byId('sheet').close();
    onShowThen(event.sequence);
  };
  body.append(
    el(
      'div',
      { class: 'actions' },
      el('button', { type: 'button', text: t('showThen'), onclick: showThen }),
      traceId && traceButton(traceId, session),
    ),
    factTable([
      [t('when'), `${moment(event.timeMs, nowMs)}`],
      [t('who'), data.by],
    ]),
  );
  if (event.type === 'CapacityDecided') body.append(...decisionParts(data, alternatives));
  else
    body.append(
      el('h3', { text: t('fields') }),
      factTable(Object.entries(data).map(([key, value]) => [key, plain(key, value)])),
    );
}

function plain(key, value) {
  if (key.endsWith('Ms') && typeof value === 'number') return value > 1e11 ? clock(value) : span(value);
  if (typeof value !== 'object') return String(value);
  const text = JSON.stringify(value, null, 1);
  return text.length < 80 ? JSON.stringify(value) : el('pre', { text: text.slice(0, 20_000) });
}

function decisionParts(data, alternatives = []) {
  const inputs = Object.entries(data.inputs).map(([key, value]) => [
    t(`input.${key}`),
    inputText(key, value),
  ]);
  const head = ['', 'altServers', 'altCapacity', 'altMargin', 'altWatts'];
  return [
    el('h3', { text: t('alternatives') }),
    el(
      'table',
      { class: 'numbers' },
      el(
        'thead',
        {},
        el('tr', {}, ...head.map((key) => (key ? el('th', { scope: 'col', text: t(key) }) : el('td')))),
      ),
      el(
        'tbody',
        {},
        ...alternatives.map((one) =>
          el(
            'tr',
            { class: one.choice === 'decided' ? 'chosen' : undefined },
            el('th', { scope: 'row', text: t(`choice.${one.choice}`) }),
            el('td', { text: number(one.servers) }),
            el('td', { text: number(one.capacityRps) }),
            el('td', {
              class: one.marginRps < 0 ? 'problem' : undefined,
              text: `${one.marginRps < 0 ? '−' : '+'}${number(Math.abs(one.marginRps))}`,
            }),
            el('td', { text: `${number(one.watts)} W` }),
          ),
        ),
      ),
    ),
    el('p', { class: 'hint', text: t('alternativesNote') }),
    el('h3', { text: t('inputs') }),
    factTable([
      [t('decidedTarget'), data.target.join(', ')],
      [t('forecast'), rateText(data.forecastRps)],
      ...inputs,
    ]),
  ];
}

function inputText(key, value) {
  if (key.endsWith('Ms')) return span(value);
  if (key.endsWith('Rps')) return rateText(value);
  return String(value);
}
