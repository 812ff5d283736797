import { createCharts } from './charts.js';
import { openFact, openServer } from './detail.js';
import { api, byId, el, say, setText } from './dom.js';
import { createDecisions, createFigures, figuresOf } from './figures.js';
import { number } from './format.js';
import { createHistory } from './history.js';
import { startLive } from './live.js';
import { createRack, sumText } from './rack.js';
import { createSavings } from './savings.js';
import { confirmAction } from './sheet.js';
import { columns, emptyState, fold, tilesOf } from './store.js';
import { createTimeTravel } from './timeTravel.js';
import { openTraces } from './traces.js';
import { openWhatif } from './whatif.js';
import { language, setLanguage, t, translate } from './words.js';

const themeKey = 'nemuri.theme';
const state = emptyState();
let pool = '';
let connection = 'connecting';
let charts;
let session = {};
let shownActions = '';
let isDrawing = false;

const nowMs = () => Date.now() + state.offsetMs;
const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
};
/** Opens something; what goes wrong on the way is said. */
const open = (opening) => void opening.catch((error) => say(error.message, true));
const onOpenFact = (sequence) =>
  open(openFact(sequence, { nowMs: nowMs(), session, onShowThen: (at) => time.goTo(at) }));
const time = createTimeTravel({ nowMs, onChange: () => drawSoon() });
const rack = createRack({
  onOpen(name) {
    const { past } = time;
    const tile = past ? past.tiles.find((one) => one.name === name) : state.tiles.get(name);
    const atMs = past?.timeMs ?? nowMs();
    if (tile) open(openServer(tile, { nowMs: atMs, session, isThen: past !== undefined, onOpenFact }));
  },
});
const figures = createFigures();
const decisions = createDecisions({ onOpen: onOpenFact });
const history = createHistory({ onOpen: onOpenFact, nowMs });
const savings = createSavings();

function draw() {
  isDrawing = false;
  byId('main').classList.remove('isWaiting');
  const { past } = time;
  const atMs = nowMs();
  const tiles = tilesOf(state, pool);
  const pools = state.pools.filter(({ name }) => pool === '' || name === pool);
  const shown = past ? past.tiles.filter((tile) => pool === '' || tile.pool === pool) : tiles;
  rack.draw(shown, past?.timeMs ?? atMs);
  setText(byId('rackSum'), shown.length > 0 ? sumText(shown) : t('noServers'));
  byId('thenNote').hidden = past === undefined;
  figures.draw(figuresOf({ tiles, pools, columns: columns(state, pool, atMs / 1_000 - 30), nowMs: atMs }));
  decisions.draw(pools, atMs);
  history.draw(state.events);
  drawPools();
  drawPoolActions(pools);
  charts ??= createCharts({ onChange: drawSoon });
  charts.draw(state, pool, atMs);
  const ready = tiles.filter(({ lifecycle }) => lifecycle === 'ready').length;
  document.title = `${t('title', { ready: number(ready), servers: number(tiles.length) })} · Nemuri`;
}

/** One drawing a frame, however much comes. */
function drawSoon() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(draw);
}

function drawPools() {
  const pick = byId('pool');
  byId('poolPick').hidden = state.pools.length < 2;
  const names = ['', ...state.pools.map(({ name }) => name)];
  if (
    pick.options.length === names.length &&
    names.every((name, index) => pick.options[index].value === name)
  )
    return;
  pick.replaceChildren(...names.map((name) => el('option', { value: name, text: name || t('allPools') })));
  pick.value = pool;
}

/** What can be done with the pool, where one is chosen or there is only one. */
function drawPoolActions(pools) {
  const [only] = pools.length === 1 ? pools : [];
  const verbs = only
    ? [only.pinnedServers === undefined ? 'pin' : 'unpin', only.paused ? 'resume' : 'pause']
    : [];
  const notes = only
    ? [
        only.pinnedServers === undefined ? '' : t('pinned', { count: only.pinnedServers }),
        only.paused ? t('paused') : '',
      ].filter(Boolean)
    : [];
  const wanted = [language(), only?.name, ...verbs, ...notes].join(' ');
  if (wanted === shownActions) return;
  shownActions = wanted;
  byId('poolActions').replaceChildren(
    ...notes.map((note) => el('span', { class: 'flags', text: note })),
    ...verbs.map((verb) =>
      el('button', {
        type: 'button',
        text: t(`verb.${verb}`),
        onclick: () =>
          confirmAction({ verb, what: { pool: only.name }, most: only.servers, who: session.who }),
      }),
    ),
    ...(only
      ? [el('button', { type: 'button', text: t('whatif'), onclick: () => open(openWhatif(only.name)) })]
      : []),
  );
}

function drawFixed() {
  document.documentElement.lang = language();
  translate(document);
  byId('language').textContent = t('otherLanguage');
  byId('language').lang = language() === 'en' ? 'ja' : 'en';
  byId('theme').textContent = t(isDark() ? 'themeToLight' : 'themeToDark');
  byId('pool').replaceChildren();
  history.translate();
  time.translate();
  savings.draw();
  drawConnection();
}

function drawConnection() {
  const shown = byId('connection');
  shown.dataset.state = connection;
  setText(shown, t(connection));
}

byId('language').addEventListener('click', () => {
  setLanguage(language() === 'en' ? 'ja' : 'en');
  drawFixed();
  charts?.renew();
  drawSoon();
});
byId('theme').addEventListener('click', () => {
  document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
  localStorage.setItem(themeKey, document.documentElement.dataset.theme);
  drawFixed();
  charts?.renew();
  drawSoon();
});
byId('pool').addEventListener('change', () => {
  pool = byId('pool').value;
  charts?.renew();
  drawSoon();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  drawFixed();
  charts?.renew();
  drawSoon();
});

byId('tracesButton').addEventListener('click', () => open(openTraces(session)));

/** Resolves with true when there is a session, after a login where one is needed. */
async function ensureSession() {
  session = await api('/api/session');
  byId('logout').hidden = !(session.loginRequired && session.loggedIn);
  if (session.loggedIn) return true;
  byId('login').showModal();
  return false;
}

byId('loginForm').addEventListener('submit', async (event) => {
  event.preventDefault();
  const body = { token: byId('loginToken').value, who: byId('loginWho').value };
  try {
    await api('/api/session', { method: 'POST', body });
    byId('loginToken').value = '';
    byId('loginProblem').textContent = '';
    byId('login').close();
    start();
  } catch (error) {
    byId('loginProblem').textContent = error.message;
  }
});
byId('login').addEventListener('cancel', (event) => event.preventDefault());
byId('logout').addEventListener('click', async () => {
  await api('/api/session', { method: 'DELETE' });
  location.reload();
});

async function start() {
  if (!(await ensureSession())) return;
  startLive({
    onFrame(frame, isWhole) {
      fold(state, frame, isWhole, Date.now());
      drawSoon();
    },
    onState(next) {
      connection = next;
      drawConnection();
    },
    onRefused: ensureSession,
  });
  void history.start();
  savings.start();
  open(time.start(() => state.sequence));
}

const theme = localStorage.getItem(themeKey);
if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
drawFixed();
await start();
