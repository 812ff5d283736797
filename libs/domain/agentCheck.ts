import type { Saying, Wish } from './heartbeat.ts';

/**
 * What one line of an agent check says. What it leaves out stays as it was (HAProxy configuration manual,
 * `agent-check`).
 */
export interface AgentCheckAnswer {
  readonly wish?: Wish;
  readonly weightPercent?: number;
  readonly maxInFlight?: number;
  /** `up`, or one of `down`, `failed`, `stopped`. */
  readonly isUp?: boolean;
}

/** HAProxy reads no more of a line. */
export const maxAgentCheckBytes = 1_024;

const wishes: readonly string[] = ['ready', 'drain', 'maint'];
const downWords: readonly string[] = ['down', 'failed', 'stopped'];

/**
 * Reads a line such as `75% ready`, `up maxconn:30`, `down#disk full`: words parted by blanks, tabs and commas up to
 * the first line break, a comment after `#`. Words are told apart by letter case as little as HAProxy does it.
 * @returns undefined when no word of it is known.
 */
export function parseAgentCheck(text: string): AgentCheckAnswer | undefined {
  const [line = ''] = text.slice(0, maxAgentCheckBytes).split(/[\r\n]/, 1);
  const [said = ''] = line.split('#', 1);
  let answer: AgentCheckAnswer = {};
  for (const word of said.toLowerCase().split(/[ \t,]+/)) {
    const [, percent] = /^(\d{1,4})%$/.exec(word) ?? [];
    const [, bound] = /^maxconn:(\d{1,7})$/.exec(word) ?? [];
    if (percent !== undefined) answer = { ...answer, weightPercent: Math.min(1_000, Number(percent)) };
    else if (bound !== undefined) answer = { ...answer, maxInFlight: Number(bound) };
    else if (wishes.includes(word)) answer = { ...answer, wish: word as Wish };
    else if (word === 'up') answer = { ...answer, isUp: true };
    else if (downWords.includes(word)) answer = { ...answer, isUp: false };
  }
  return Object.keys(answer).length > 0 ? answer : undefined;
}

/** All that the answers of one agent have said up to now. */
export interface AgentCheckState extends Saying {
  readonly isUp: boolean;
}

export const freshAgentCheck: AgentCheckState = { wish: 'ready', isUp: true };

export function withAnswer(state: AgentCheckState, answer: AgentCheckAnswer): AgentCheckState {
  return { ...state, ...answer };
}

/** What the server wants of us by its agent check: one that says down is drained until it says up. */
export function sayingOfAgentCheck({ isUp, ...saying }: AgentCheckState): Saying {
  return isUp ? saying : { ...saying, wish: saying.wish === 'maint' ? 'maint' : 'drain' };
}

/** Our own answer to an HAProxy that asks: all of it each time, so that nothing said before stays by accident. */
export function formatAgentCheck(saying: Saying, shuttingDown: boolean): string {
  const words = ['up', shuttingDown ? 'drain' : saying.wish, `${saying.weightPercent ?? 100}%`];
  if (saying.maxInFlight !== undefined) words.push(`maxconn:${saying.maxInFlight}`);
  return `${words.join(' ')}\n`;
}
