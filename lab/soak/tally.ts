/** What came of the soak's traffic. */
export interface Tally {
  requests: number;
  /** Not served although another try could have served it: must stay 0. */
  failed: number;
  /** Shorter, longer or other bytes than asked for, and no error: must stay 0. */
  wrong: number;
  /** An answer that had begun and broke off with its server, and was seen to: nobody can try that again. */
  brokenOff: number;
  /** A request that may not be sent twice, lost with its server. */
  lost: number;
  webSockets: number;
  messages: number;
  eventStreams: number;
  events: number;
  /** Open connections that were ended the protocol's way when their server went to sleep. */
  movedOn: number;
  /** The first few of what must not happen, in words. */
  readonly complaints: string[];
}

const mostComplaints = 20;

export function createTally(): Tally {
  return {
    requests: 0,
    failed: 0,
    wrong: 0,
    brokenOff: 0,
    lost: 0,
    webSockets: 0,
    messages: 0,
    eventStreams: 0,
    events: 0,
    movedOn: 0,
    complaints: [],
  };
}

export function complain(tally: Tally, kind: 'failed' | 'wrong', words: string): void {
  tally[kind] += 1;
  if (tally.complaints.length < mostComplaints) tally.complaints.push(`${kind}: ${words}`);
}
