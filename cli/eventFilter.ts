import { isEventType, type RecordedEvent, streamOf } from '../libs/events/mod.ts';
import { covers, isSubjectFilter, type StreamFilter, streamsFor } from './subjectFilter.ts';

/** One thing asked of an event: its subject, or the value of one of its fields. */
export type EventCondition = { readonly subject: string } | { readonly key: string; readonly value: string };

/**
 * Reads one `--filter`: a NATS subject, an event's type, or `key=value`, the key being `type`, `server`, `pool` or any
 * other field of the data (`inputs.parked`). Undefined: it is none of these.
 */
export function conditionOf(text: string): EventCondition | undefined {
  const [, key, value] = /^([A-Za-z]\w*(?:\.\w+)*)=(.+)$/.exec(text) ?? [];
  if (key !== undefined && value !== undefined) {
    return key === 'type' && !isEventType(value) ? undefined : { key, value };
  }
  if (isEventType(text)) return { key: 'type', value: text };
  return isSubjectFilter(text) ? { subject: text } : undefined;
}

/** The streams to ask. Without a subject or a type: the history alone. */
export function streamsOf(conditions: readonly EventCondition[]): StreamFilter[] {
  const subject = conditions.find((condition) => 'subject' in condition);
  if (subject) return streamsFor(subject.subject);
  for (const condition of conditions) {
    if ('key' in condition && condition.key === 'type' && isEventType(condition.value))
      return [{ stream: streamOf(condition.value) }];
  }
  return streamsFor(undefined);
}

/** Does the event fulfil all of them? */
export function fulfils(event: RecordedEvent, conditions: readonly EventCondition[]): boolean {
  return conditions.every((condition) => {
    if ('subject' in condition) return covers(condition.subject, event.subject);
    const { key, value } = condition;
    return key === 'type' ? event.type === value : textOf(fieldOf(event.data, key)) === value;
  });
}

function fieldOf(data: object, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => {
    const inside = typeof value === 'object' && value !== null && Object.hasOwn(value, key);
    return inside ? (value as Record<string, unknown>)[key] : undefined;
  }, data);
}

function textOf(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}
