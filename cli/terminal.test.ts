import { execFileSync } from 'node:child_process';
import type { Command } from 'commander';
import { type Bus, createMemoryStore, type MemoryStore, openMemoryBus } from '../libs/bus/mod.ts';
import { draftOf, fleetConfig } from '../libs/domain/testing/builders.ts';
import type { Cli, Terminal } from './cli.ts';
import { paintOf } from './colours.ts';
import { createProgram } from './program.ts';
import { runOnStore } from './testing/run.ts';

let store: MemoryStore;
let bus: Bus;
const nowMs = 1_900_000_000_000;

beforeEach(async () => {
  store = createMemoryStore();
  bus = openMemoryBus(store, { source: 'test' });
  await bus.publish({
    type: 'FleetConfigured',
    data: { config: fleetConfig({ servers: 40 }), origin: 'test' },
  });
});
afterEach(() => bus.close());

const nemuri = (args: readonly string[], overrides: Partial<Cli> = {}) =>
  runOnStore(store, args, { nowMs: () => nowMs, ...overrides });

function screen(size: { columns: number; rows: number }) {
  const drawn: string[] = [];
  const terminal: Terminal = { ...size, write: (text) => void drawn.push(text) };
  return { drawn, terminal };
}
const escapeCharacter = String.fromCharCode(27);
/** What makes a terminal draw. */
const control = new RegExp(`${escapeCharacter}\\[[0-9;]*[A-Za-z]`, 'g');

describe('colours', () => {
  const { terminal } = screen({ columns: 80, rows: 24 });

  test.each<[string, Partial<Cli>, boolean]>([
    ['a terminal', { terminal }, true],
    ['a file', {}, false],
    ['NO_COLOR', { terminal, env: { NO_COLOR: '1' } }, false],
    ['an empty NO_COLOR', { terminal, env: { NO_COLOR: '' } }, true],
    ['a dumb terminal', { terminal, env: { TERM: 'dumb' } }, false],
  ])('%s', async (_name, world, coloured) => {
    const { out } = await nemuri(['status'], world);
    expect(out.join('\n').includes(escapeCharacter)).toBe(coloured);
    expect(paintOf({ env: {}, ...world })('red', 'x').includes(escapeCharacter)).toBe(coloured);
  });

  test('also a cordon with its time', async () => {
    await bus.publish(draftOf('ServerCordoned', { untilMs: nowMs + 7_200_000 }));
    const { out } = await nemuri(['status'], { terminal });
    expect(out.join('\n')).toContain(`${escapeCharacter}[36mcordoned${escapeCharacter}[0m, 2 h more`);
  });

  test('leave the text of others alone', async () => {
    await bus.publish(draftOf('CapacityDecided', { reason: 'all servers are ready' }));
    const { out } = await nemuri(['status'], { terminal });
    expect(out[1]).toContain('all servers are ready');
  });
});

describe('status --watch', () => {
  test('fills the screen of a terminal and no more, what is under way first', async () => {
    const { drawn, terminal } = screen({ columns: 60, rows: 12 });
    await bus.publish(draftOf('ServerPoweredOn', { server: 's1' }));
    await bus.publish(draftOf('ServerBecameHealthy', { server: 's1' }));
    const { code, out } = await nemuri(['status', '--watch'], { terminal, signal: AbortSignal.abort() });
    expect([code, out, drawn.length]).toEqual([0, [], 1]);
    const lines = (drawn[0] ?? '').replace(control, '').trimEnd().split('\n');
    expect(lines).toHaveLength(11);
    expect(lines.at(-1)).toMatch(/^… \d+ lines more$/);
    expect(lines.every((line) => line.length <= 60)).toBe(true);
    expect(lines[3]).toMatch(/^ {2}s\d+ +waking/);
    expect(lines.join('\n')).not.toContain('s1 ');
  });

  test('elsewhere is one line a pool when it changes, without control characters', async () => {
    const abort = new AbortController();
    const lines: string[] = [];
    const done = nemuri(['status', '--watch'], {
      signal: abort.signal,
      out: (line) => {
        lines.push(line);
        if (lines.length === 1) void bus.publish(draftOf('ServerPoweredOn', { server: 's1' }));
        if (lines.length === 1) void bus.publish(draftOf('ServerBecameHealthy', { server: 's1' }));
        if (lines.length === 2) abort.abort();
      },
    });
    expect((await done).code).toBe(0);
    expect(lines).toEqual([
      expect.stringMatching(/^pool web: 40 waking; floor 1; 0 of \d+ requests\/s ready$/),
      expect.stringMatching(/^pool web: 1 ready, 39 waking; floor 1; \d+ of \d+ requests\/s ready$/),
    ]);
  });
});

function leaves(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
}

test('every verb has a description, and a --help with an example of itself', async () => {
  const { out } = await nemuri(['completion', 'bash']);
  expect(out.join('')).toContain('_nemuri');
  const cli = { env: {}, distDir: 'dist' } as unknown as Cli;
  for (const command of leaves(createProgram(cli, '1'))) {
    // These two show the help of the process behind them, which needs a build.
    if (['simulate', 'whatif'].includes(command.name())) continue;
    const written: string[] = [];
    command.configureOutput({ writeOut: (text) => void written.push(text) });
    command.outputHelp();
    expect([command.name(), command.description() !== '']).toEqual([command.name(), true]);
    expect(written.join('')).toMatch(new RegExp(`Examples?:\\n[^]*nemuri (\\w+ )?${command.name()}`));
  }
});

describe('completion', () => {
  test('bash completes verbs, verbs below verbs and options, and leaves files and values alone', async () => {
    const script = (await nemuri(['completion', 'bash'])).out.join('\n');
    const complete = (...words: string[]) => {
      const given = words.map((word) => `'${word}'`).join(' ');
      const run = `${script}\nCOMP_WORDS=(${given}); COMP_CWORD=${words.length - 1}; _nemuri; echo "\${COMPREPLY[@]}"`;
      return execFileSync('bash', ['-c', run], { encoding: 'utf8' }).trim();
    };
    expect(complete('nemuri', 'st')).toBe('status');
    expect(complete('nemuri', 'status', '--w')).toBe('--watch');
    expect(complete('nemuri', 'power', 't')).toBe('test');
    expect(complete('nemuri', 'power', 'test', '--re')).toBe('--really');
    expect(complete('nemuri', 'completion', 'f')).toBe('fish');
    expect(complete('nemuri', 'validate', '--config', 'package.j')).toBe('package.json');
    expect(complete('nemuri', 'status', '--nats', '')).toBe('');
  });

  test.each(['zsh', 'fish'])('%s names every verb', async (shell) => {
    const script = (await nemuri(['completion', shell])).out.join('\n');
    for (const verb of ['status', 'power', 'test', 'cordon', 'whatif']) expect(script).toContain(verb);
  });

  test('an unknown shell is a wrong usage', async () => {
    expect(await nemuri(['completion', 'tcsh'])).toMatchObject({ code: 2 });
  });
});
