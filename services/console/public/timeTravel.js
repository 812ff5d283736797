import { api, byId, say, setText } from './dom.js';
import { moment } from './format.js';
import { t } from './words.js';

const steps = 1_000;
const askAfterMs = 60;

/**
 * The time slider: from the first fact of the history to now. While it stands in the past, `past` is the fleet as it
 * was; one question is under way at a time, and only the last place is asked for.
 */
export function createTimeTravel({ nowMs, onChange }) {
  const slider = byId('slider');
  const shown = byId('timeShown');
  const toNow = byId('toNow');
  let firstMs = 0;
  let past;
  let wanted;
  let isAsking = false;

  const drawState = () => {
    document.body.classList.toggle('isThen', past !== undefined);
    toNow.disabled = past === undefined;
    byId('later').disabled = past === undefined;
    setText(
      shown,
      past ? t('asOf', { time: moment(past.timeMs, nowMs()), sequence: past.sequence }) : t('now'),
    );
    slider.setAttribute('aria-valuetext', shown.textContent);
  };
  const ask = async () => {
    if (isAsking || !wanted) return;
    isAsking = true;
    const query = wanted;
    wanted = undefined;
    try {
      const answer = await api(`/api/fleet?${new URLSearchParams(query)}`);
      if (isLeft) return;
      past = answer;
      firstMs = answer.firstMs;
      if ('sequence' in query) placeSlider();
      drawState();
      onChange();
    } catch (error) {
      say(error.message, true);
    } finally {
      isAsking = false;
      if (wanted) void ask();
    }
  };
  let isLeft = true;
  const go = (query) => {
    isLeft = false;
    wanted = query;
    void ask();
  };
  const placeSlider = () => {
    const length = Math.max(1, nowMs() - firstMs);
    slider.value = String(Math.round(((past.timeMs - firstMs) / length) * steps));
  };
  const leave = () => {
    isLeft = true;
    wanted = undefined;
    past = undefined;
    slider.value = String(steps);
    drawState();
    onChange();
  };
  let timer = 0;
  slider.addEventListener('input', () => {
    const share = Number(slider.value) / steps;
    if (share >= 1) return leave();
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      go({ timeMs: String(Math.round(firstMs + (nowMs() - firstMs) * share)) });
    }, askAfterMs);
  });
  const step = (by, sequence) => go({ sequence: String(Math.max(1, (past?.sequence ?? sequence()) + by)) });
  toNow.addEventListener('click', leave);

  return {
    /** The fleet as it was; undefined: now. */
    get past() {
      return past;
    },
    /** @param {() => number} sequence the last fact of the history */
    async start(sequence) {
      byId('earlier').addEventListener('click', () => step(-1, sequence));
      byId('later').addEventListener('click', () => step(1, sequence));
      firstMs = (await api('/api/fleet?sequence=1')).firstMs;
      drawState();
    },
    /** Shows the fleet as it was after one fact. */
    goTo: (sequence) => go({ sequence: String(sequence) }),
    translate: drawState,
  };
}
