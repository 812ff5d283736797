import { DriverError } from './driver.ts';

/** Takes the secrets out of a text. */
export type Redact = (text: string) => string;

const longestMessage = 300;
// A shorter one would blank every other word, and is no secret.
const shortestSecret = 3;

/** Text from outside, fit for a log or an event: one line, bounded. What cuts a secret in two can't find it any more. */
export function oneLine(text: string, redact: Redact): string {
  const line = redact(text)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim();
  return line.length > longestMessage ? `${line.slice(0, longestMessage)}…` : line;
}

/** A text without these, in the writings in which programs and devices echo them. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  const writings = secrets
    .filter((secret) => secret.length >= shortestSecret)
    .flatMap((secret) => {
      const inJson = JSON.stringify(secret).slice(1, -1);
      const inForm = new URLSearchParams({ '': secret }).toString().slice(1);
      return [secret, encodeURIComponent(secret), inForm, inJson, JSON.stringify(inJson).slice(1, -1)];
    });
  // The longest first: one that holds another must not lose only that part.
  writings.sort((a, b) => b.length - a.length);
  return writings.reduce((clean, writing) => clean.replaceAll(writing, '***'), text);
}

/** The `code` of an error of Node or undici, or of its cause; 'unknown' without one. */
export function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return 'unknown';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return 'cause' in error ? codeOf(error.cause) : 'unknown';
}

/** Reads secrets and remembers the last of each reference, so that none gets out by a message. */
export interface SecretKeeper {
  /** @throws DriverError `unauthorized` with the reference, never what it refers to. */
  read(reference: string): Promise<string>;
  /** Something made of a secret, that gives it away: hidden too. */
  hide(writing: string): void;
  readonly redact: Redact;
}

export function createSecretKeeper(
  serverName: string,
  resolveSecret: (reference: string) => Promise<string> | string,
): SecretKeeper {
  const known = new Map<string, string>();
  let made: string | undefined;
  return {
    hide(writing) {
      made = writing;
    },
    async read(reference) {
      try {
        const secret = await resolveSecret(reference);
        known.set(reference, secret);
        return secret;
      } catch (error) {
        // Its message could hold a part of what it read.
        const text = `${serverName}: the secret ${reference} can't be read (${codeOf(error)})`;
        throw new DriverError('unauthorized', text);
      }
    },
    redact: (text) => withoutSecrets(text, [...known.values(), ...(made === undefined ? [] : [made])]),
  };
}
