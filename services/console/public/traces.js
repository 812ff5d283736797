import { api, el } from './dom.js';
import { clock, span } from './format.js';
import { factTable, openSheet } from './sheet.js';
import { t } from './words.js';

const hues = {
  proxy: '--load',
  planner: '--forecast',
  power: '--waking',
  health: '--ready',
  agent: '--stopping',
};

/** Depth of each span under its parents, in the order of the list. Pure. */
export function depthsOf(spans) {
  const depths = new Map();
  for (const { spanId, parentSpanId } of spans) depths.set(spanId, (depths.get(parentSpanId) ?? -1) + 1);
  return spans.map(({ spanId }) => depths.get(spanId));
}

/** The traces that are kept, newest first. */
export async function openTraces(session) {
  const { traces } = await api('/api/traces');
  const body = openSheet(t('traces'));
  if (traces.length === 0) body.append(el('p', { text: t('noTraces') }));
  const flags = (trace) =>
    [trace.parked && t('traceParked'), trace.woke && t('traceWoke'), trace.failed && t('traceFailed')]
      .filter(Boolean)
      .join(' · ');
  body.append(
    el(
      'ol',
      { class: 'plain' },
      ...traces.map((trace) =>
        el(
          'li',
          {},
          el(
            'button',
            { type: 'button', class: 'event', onclick: () => openTrace(trace.traceId, session) },
            el('time', { text: clock(trace.startMs) }),
            el(
              'span',
              {},
              el('b', { text: trace.name }),
              ' ',
              el('span', { class: 'about', text: flags(trace) }),
            ),
            el('span', {
              class: 'text',
              text: `${t('traceNote', { spans: trace.spans, time: milli(trace.durationMs) })} · ${trace.services.join(', ')}`,
            }),
          ),
        ),
      ),
    ),
  );
}

function milli(ms) {
  return ms < 1_000 ? `${Math.round(ms)} ms` : span(ms);
}

/** A trace as a waterfall: a row a span, its bar where it was, with the marks of its events. */
export async function openTrace(traceId, session) {
  const body = openSheet(t('traceTitle', { id: traceId.slice(0, 8) }), { wide: true });
  if (session.jaegerUrl) {
    const href = `${session.jaegerUrl}/trace/${traceId}`;
    body.append(el('p', {}, el('a', { href, target: '_blank', rel: 'noreferrer', text: t('inJaeger') })));
  }
  const answer = await api(`/api/traces/${traceId}`).catch(() => undefined);
  if (!answer) {
    body.append(el('p', { text: t('traceGone') }));
    return;
  }
  const { spans } = answer;
  const startMs = Math.min(...spans.map((one) => one.startMs));
  const lengthMs = Math.max(1, Math.max(...spans.map((one) => one.endMs)) - startMs);
  const depths = depthsOf(spans);
  const place = (timeMs) => `${(((timeMs - startMs) / lengthMs) * 100).toFixed(2)}%`;
  body.append(
    el('p', {
      class: 'sum',
      text: `${clock(startMs)} · ${t('traceNote', { spans: spans.length, time: milli(lengthMs) })}`,
    }),
    el(
      'ol',
      { class: 'waterfall' },
      ...spans.map((one, index) => spanRow(one, depths[index], { startMs, lengthMs, place })),
    ),
  );
}

function spanRow(one, depth, { startMs, lengthMs, place }) {
  const bar = el('span', { class: one.error ? 'spanBar failed' : 'spanBar' });
  bar.style.left = place(one.startMs);
  bar.style.width = `max(3px, ${(((one.endMs - one.startMs) / lengthMs) * 100).toFixed(2)}%)`;
  bar.style.setProperty('--series', `var(${hues[one.service] ?? '--capacity'})`);
  const marks = one.events.map(({ timeMs, name }) => {
    const mark = el('span', { class: 'mark', title: name });
    mark.style.left = place(timeMs);
    return mark;
  });
  const name = el(
    'span',
    { class: 'spanName' },
    el('b', { text: one.name }),
    ' ',
    el('span', { class: 'about', text: one.service }),
  );
  name.style.paddingLeft = `${Math.min(depth, 8) * 12}px`;
  const events = one.events.map((event) => `${event.name} +${milli(event.timeMs - startMs)}`).join(', ');
  return el(
    'li',
    {},
    el(
      'details',
      // What happened within says most where somebody waited.
      { open: one.events.length > 0 },
      el(
        'summary',
        {},
        name,
        el('span', { class: 'track' }, bar, ...marks),
        el('span', { class: 'spanTime', text: milli(one.endMs - one.startMs) }),
      ),
      el('p', {
        class: 'hint',
        text: [`+${milli(one.startMs - startMs)}`, events, one.error].filter(Boolean).join(' · '),
      }),
      factTable(Object.entries(one.attributes)),
    ),
  );
}
