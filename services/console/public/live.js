const retryMs = 2_000;

/**
 * The live stream. The browser comes back by itself and says what it saw last (Last-Event-ID); where the answer was no
 * (login needed, too many pages) it is asked again after a while.
 */
export function startLive({ onFrame, onState, onRefused }) {
  let source;
  let timer = 0;
  const open = () => {
    clearTimeout(timer);
    source = new EventSource('/api/live');
    source.addEventListener('open', () => onState('live'));
    for (const kind of ['whole', 'changes']) {
      source.addEventListener(kind, (message) => onFrame(JSON.parse(message.data), kind === 'whole'));
    }
    source.addEventListener('error', () => {
      onState('away');
      if (source.readyState !== EventSource.CLOSED) return;
      timer = window.setTimeout(() => {
        onRefused().then((goOn) => goOn && open(), open);
      }, retryMs);
    });
  };
  open();
  return {
    stop() {
      clearTimeout(timer);
      source.close();
    },
  };
}
