/** A reader that knows more than the stream holds: the stream was made anew, or lost its end. */
export function startsPastEnd(stream: string, sequence: number, lastSequence: number): Error {
  return new Error(
    `${stream} ends at ${lastSequence}, before the wanted ${sequence}: it was made anew or lost its end`,
  );
}

/** What a subscriber threw, with the event it threw at. */
export function subscriberProblem(at: { subject: string; sequence: number }, error: unknown): Error {
  return new Error(`a subscriber failed on ${at.subject} ${at.sequence}: ${messageOf(error)}`, {
    cause: error,
  });
}

/** A stored message that `history` had to skip. */
export function malformedProblem(
  stream: string,
  at: { subject: string; sequence: number; problem: string },
): Error {
  return new Error(`${stream} ${at.sequence} on ${at.subject} was skipped: ${at.problem}`);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
