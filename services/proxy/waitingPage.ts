/** A page that loads itself again asks this often, at most and at least. */
const longestReloadSeconds = 30;
const shortestReloadSeconds = 2;

/** When a page that says "in so many ms" should ask again: in good time to be there, not so often as to be a load. */
export function reloadSeconds(readyInMs: number | undefined): number {
  const half = Math.ceil((readyInMs ?? 10_000) / 2_000);
  return Math.min(longestReloadSeconds, Math.max(shortestReloadSeconds, half));
}

/** What a person sees while a server wakes. Needs nothing from anywhere, runs no script, says nothing of the inside. */
export function waitingPage(readyInMs: number | undefined): string {
  const seconds = readyInMs === undefined ? undefined : Math.max(1, Math.ceil(readyInMs / 1_000));
  const when =
    seconds === undefined
      ? 'It will be there in a moment.'
      : `It will be there in about ${inWords(seconds)}.`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="${reloadSeconds(readyInMs)}">
<title>Waking up</title>
<style>
body { font: 1.1rem/1.5 system-ui, sans-serif; display: grid; place-content: center; min-height: 90vh; margin: 0 1rem; color-scheme: light dark; text-align: center }
</style>
</head>
<body>
<main>
<h1>This site was asleep and is waking up</h1>
<p>${when} This page loads itself again.</p>
</main>
</body>
</html>
`;
}

function inWords(seconds: number): string {
  if (seconds < 90) return seconds === 1 ? 'one second' : `${seconds} seconds`;
  return `${Math.round(seconds / 60)} minutes`;
}
