import { type Fleet, floorOf, foldInto, initialFleet, takesRequests } from '../../libs/domain/mod.ts';
import type { EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import type { PowerCommand } from '../rack/powerLog.ts';

/** A time in which nothing may be switched off, and why. Epoch ms. */
export interface NoSleep {
  readonly fromMs: number;
  readonly toMs: number;
  readonly why: string;
}

/** What was recorded: the rack's own log beside the history. All in order, all times of one clock. */
export interface Evidence {
  readonly commands: readonly PowerCommand[];
  /** The stream FLEET from its beginning. */
  readonly history: readonly RecordedEvent[];
  /** Of the power service. */
  readonly leases: readonly EventOf<'LeaseHeld'>[];
  readonly noSleep: readonly NoSleep[];
}

export type PowerRule =
  | 'noAttempt'
  | 'requestsInFlight'
  | 'belowFloor'
  | 'staleLeader'
  | 'cordoned'
  | 'double'
  | 'failAwake';

export interface WrongPowerAction {
  readonly atMs: number;
  readonly server: string;
  readonly rule: PowerRule;
  readonly what: string;
}

/** Between a fact and a command that could not know of it: one way over the bus and one to the BMC. */
const raceMs = 500;
/** Of two clocks of one machine. */
const roundingMs = 5;
/** From the fact of an attempt to its command: the driver looks first, and tries again what did not arrive. */
const commandMs = 15_000;
/** Who took requests so shortly before counts: a server may die at any moment. */
const countsForMs = 5_000;

/**
 * Every command that should never have reached a machine. Pure. A command is judged by the history as it stood when
 * it arrived; what became known within `raceMs` before it counts as unknown.
 */
export function judgePower(evidence: Evidence): readonly WrongPowerAction[] {
  const wrong: WrongPowerAction[] = [];
  const story = createStory(evidence.history);
  const used = new Set<string>();
  for (const command of evidence.commands.toSorted((a, b) => a.atMs - b.atMs)) {
    story.foldTo(command.atMs + roundingMs);
    const found =
      command.resetType === 'On' ? judgeOn(command, story) : judgeOff(command, story, evidence, used);
    for (const [rule, what] of found) {
      const words = `${command.resetType} while ${command.before}: ${what}`;
      wrong.push({ atMs: command.atMs, server: command.server, rule, what: words });
    }
  }
  return wrong;
}

type Found = [PowerRule, string][];
type Attempt = EventOf<'SleepAttempted'>;

interface Story {
  readonly fleet: Fleet;
  readonly attempts: Map<string, Attempt>;
  readonly wakes: Map<string, EventOf<'WakeRequested'>>;
  readonly cordonedAtMs: Map<string, number>;
  readonly servedAtMs: Map<string, number>;
  foldTo(atMs: number): void;
}

/** The history up to a moment, with what the fold does not keep. */
function createStory(history: readonly RecordedEvent[]): Story {
  const fleet = initialFleet();
  const attempts: Story['attempts'] = new Map();
  const wakes: Story['wakes'] = new Map();
  const cordonedAtMs: Story['cordonedAtMs'] = new Map();
  const servedAtMs: Story['servedAtMs'] = new Map();
  let next = 0;
  const noteServing = (atMs: number) => {
    for (const state of Object.values(fleet.servers))
      if (takesRequests(state)) servedAtMs.set(state.name, atMs);
  };
  const take = (event: RecordedEvent) => {
    if (event.type === 'SleepAttempted') attempts.set(event.data.server, event);
    if (event.type === 'WakeRequested') wakes.set(event.data.server, event);
    if (event.type === 'ServerCordoned') cordonedAtMs.set(event.data.server, event.storedMs);
    if (event.type === 'ServerUncordoned' || event.type === 'CordonExpired')
      cordonedAtMs.delete(event.data.server);
  };
  return {
    fleet,
    attempts,
    wakes,
    cordonedAtMs,
    servedAtMs,
    foldTo(atMs) {
      for (let event = history[next]; event && event.storedMs <= atMs; event = history[next]) {
        // Up to this fact it served.
        noteServing(event.storedMs);
        foldInto(fleet, event);
        take(event);
        next += 1;
      }
      noteServing(atMs);
    },
  };
}

function judgeOn({ server, before }: PowerCommand, { wakes, cordonedAtMs }: Story): Found {
  const cordonedMs = cordonedAtMs.get(server);
  const wokenMs = wakes.get(server)?.storedMs ?? 0;
  if (before !== 'off' || cordonedMs === undefined || wokenMs < cordonedMs + raceMs) return [];
  return [['cordoned', `its wake began ${wokenMs - cordonedMs} ms after the cordon`]];
}

function judgeOff(command: PowerCommand, story: Story, evidence: Evidence, used: Set<string>): Found {
  const { server, before, atMs, inFlight } = command;
  if (before === 'off') return [];
  const found: Found = [];
  const { fleet } = story;
  const state = fleet.servers[server];
  const forbidden = evidence.noSleep.find(({ fromMs, toMs }) => atMs >= fromMs && atMs <= toMs);
  if (forbidden) found.push(['failAwake', `although ${forbidden.why}`]);
  const attempt = story.attempts.get(server);
  const sleep = state?.sleep;
  const isOpen = attempt && sleep?.sleepId === attempt.data.sleepId;
  if (!attempt || !sleep || !isOpen || atMs - attempt.storedMs > commandMs) {
    found.push([
      'noAttempt',
      attempt ? `the last attempt was ${atMs - attempt.storedMs} ms ago` : 'never attempted',
    ]);
    return found;
  }
  const key = `${attempt.data.sleepId} ${attempt.data.attempt}`;
  if (used.has(key)) found.push(['double', `a second command of attempt ${attempt.data.attempt}`]);
  used.add(key);
  const leader = evidence.leases.findLast(({ storedMs }) => storedMs <= atMs - raceMs);
  if (leader && leader.storedMs > attempt.storedMs && !attempt.source.endsWith(`/${leader.data.replica}`))
    found.push(['staleLeader', `attempted by ${attempt.source}, ${leader.data.replica} leads since then`]);
  const cordonedMs = story.cordonedAtMs.get(server);
  if (cordonedMs !== undefined && attempt.storedMs > cordonedMs + raceMs)
    found.push(['cordoned', `attempted ${attempt.storedMs - cordonedMs} ms after the cordon`]);
  const isDrainOver = Object.values(sleep.proxies).includes('timedOut');
  // A second command to a machine that is on its way down cuts nothing that the first one had not given up.
  if (inFlight > 0 && !isDrainOver && before !== 'poweringOff')
    found.push([
      'requestsInFlight',
      `${inFlight} requests and no drain time-out: ${JSON.stringify(sleep.proxies)}`,
    ]);
  const { pool } = state;
  const floor = floorOf(fleet, pool);
  const others = Object.values(fleet.servers).filter(
    (other) =>
      other.pool === pool &&
      other.name !== server &&
      atMs - (story.servedAtMs.get(other.name) ?? 0) <= countsForMs,
  ).length;
  if (!sleep.mend && state.health === 'healthy' && others < floor)
    found.push(['belowFloor', `${others} others serve, floor ${floor}`]);
  return found;
}
