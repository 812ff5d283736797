import type { Cli } from './cli.ts';

const codes = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 } as const;

export type Colour = keyof typeof codes;
export type Paint = (colour: Colour, text: string) => string;

/**
 * Colours text for a terminal. Elsewhere, with NO_COLOR set to anything (no-color.org) and on a dumb terminal, the
 * text stays as it is.
 */
export function paintOf({ terminal, env }: Pick<Cli, 'terminal' | 'env'>): Paint {
  if (!terminal || env.NO_COLOR || env.TERM === 'dumb') return (_colour, text) => text;
  return (colour, text) => `\u001b[${codes[colour]}m${text}\u001b[0m`;
}

const ofWord: Readonly<Record<string, Colour>> = {
  ready: 'green',
  waking: 'yellow',
  draining: 'yellow',
  stopping: 'yellow',
  asleep: 'dim',
  failed: 'red',
  quarantined: 'red',
  unhealthy: 'red',
  cordoned: 'cyan',
};

/** A line of `nemuri status` with its lifecycle, health and cordon in colour. Text that somebody wrote stays plain. */
export function paintStatusLine(line: string, paint: Paint): string {
  if (line.startsWith('pool ')) return paint('bold', line);
  const isServer = /^ {2}[a-z0-9-]+ +[a-z]+ +\d+ (s|min|h|d) /.test(line);
  if (!isServer) return line;
  return line.replace(/(?<= )[a-z]+(?=[ ,]|$)/g, (word) => {
    const colour = Object.hasOwn(ofWord, word) ? ofWord[word] : undefined;
    return colour ? paint(colour, word) : word;
  });
}
