import { createHmac } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent, fetch } from 'undici';
import { type FleetConfig, type RecordedEvent, typeNameOf } from '../events/mod.ts';
import { addressGuard } from './addressGuard.ts';
import { messageOf } from './errors.ts';
import type { Logger } from './log.ts';

type Notifications = FleetConfig['notifications'];
type Webhook = Notifications['webhooks'][number];

export interface Webhooks {
  /** Takes over the configuration; what waits for a webhook that stays, goes on waiting. */
  configure(notifications: Notifications): void;
  /** Posts the event to every webhook that wants its type. Never waits, never throws. */
  notify(event: RecordedEvent): void;
  /** What waits is given up. */
  stop(): Promise<void>;
}

export interface WebhooksOptions {
  readonly readSecret: (reference: string) => Promise<string>;
  readonly log: Pick<Logger, 'warn'>;
  readonly nowMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

/**
 * An event as CloudEvents 1.0 in structured mode (JSON event format), the body of a webhook.
 */
export function structuredEvent(event: RecordedEvent): string {
  return JSON.stringify({
    specversion: '1.0',
    id: event.id,
    source: event.source,
    type: typeNameOf(event.type),
    subject: event.subject,
    time: new Date(event.timeMs).toISOString(),
    datacontenttype: 'application/json',
    ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent }),
    data: event.data,
  });
}

/**
 * `t=<seconds>,v1=<hex>`: HMAC-SHA256 with the webhook's secret over `<seconds>.<body>`. Who checks it refuses times
 * that are long ago, so that a recorded message can't be sent again.
 */
export function signatureOf(secret: string, body: string, timeMs: number): string {
  const seconds = Math.floor(timeMs / 1_000);
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`;
}

interface Line {
  webhook: Webhook;
  settings: Notifications;
  readonly waiting: RecordedEvent[];
  working: Promise<void> | undefined;
}

/** Posts events to webhooks, each in its own line, in order, again with growing distance while it fails. */
export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { log } = options;
  const dispatcher = new Agent({ connect: { lookup: addressGuard.lookup } });
  const abort = new AbortController();
  const lines = new Map<string, Line>();

  const work = async (line: Line) => {
    for (let event = line.waiting[0]; event && !abort.signal.aborted; event = line.waiting[0]) {
      await deliver({ ...options, dispatcher }, line, event, abort.signal);
      if (line.waiting[0] === event) line.waiting.shift();
    }
  };
  return {
    configure(notifications) {
      const urls = new Set(notifications.webhooks.map(({ url }) => url));
      for (const [url, line] of lines) {
        if (urls.has(url)) continue;
        line.waiting.length = 0;
        lines.delete(url);
      }
      for (const webhook of notifications.webhooks) {
        const known = lines.get(webhook.url);
        if (known) Object.assign(known, { webhook, settings: notifications });
        else lines.set(webhook.url, { webhook, settings: notifications, waiting: [], working: undefined });
      }
    },
    notify(event) {
      for (const line of lines.values()) {
        if (!line.webhook.events.includes(event.type)) continue;
        line.waiting.push(event);
        if (line.waiting.length > line.settings.maxQueue) {
          line.waiting.shift();
          log.warn({ queue: line.settings.maxQueue }, 'webhook too slow: the oldest event is given up');
        }
        line.working ??= work(line).finally(() => {
          line.working = undefined;
        });
      }
    },
    async stop() {
      abort.abort();
      await Promise.all([...lines.values()].map(({ working }) => working));
      await dispatcher.destroy();
    },
  };
}

/** Tries until it is taken, given up, or of no use. A 4xx other than 408 and 429 will not change by itself. */
async function deliver(
  { readSecret, log, nowMs, random, dispatcher }: WebhooksOptions & { readonly dispatcher: Agent },
  line: Line,
  event: RecordedEvent,
  signal: AbortSignal,
): Promise<void> {
  const body = structuredEvent(event);
  for (let tries = 1; !signal.aborted; tries += 1) {
    const { webhook, settings } = line;
    let problem: string;
    let isFinal = false;
    try {
      const url = /^https?:/.test(webhook.url) ? webhook.url : await readSecret(webhook.url);
      const headers: Record<string, string> = {
        'content-type': 'application/cloudevents+json; charset=utf-8',
      };
      if (webhook.secret !== undefined) {
        headers['nemuri-signature'] = signatureOf(await readSecret(webhook.secret), body, nowMs());
      }
      const within = AbortSignal.any([signal, AbortSignal.timeout(settings.timeoutMs)]);
      const refusal = addressGuard.refusalOf(new URL(url).hostname);
      if (refusal) throw refusal;
      const asked = { method: 'POST', headers, body, signal: within, redirect: 'error', dispatcher } as const;
      const response = await fetch(url, asked);
      await response.body?.cancel();
      if (response.ok) return;
      problem = `status ${response.status}`;
      isFinal = response.status < 500 && response.status !== 408 && response.status !== 429;
    } catch (error) {
      // Of the URL nothing is shown: it may be a secret.
      problem = error instanceof TypeError ? 'not reachable' : messageOf(error, 200);
    }
    if (signal.aborted) return;
    if (isFinal || tries >= settings.maxTries) {
      log.warn({ type: event.type, id: event.id, tries, problem }, 'webhook gave up an event');
      return;
    }
    const delayMs = settings.firstRetryMs * 2 ** (tries - 1) * (0.75 + random() / 2);
    await pause(delayMs, undefined, { signal }).catch(() => undefined);
  }
}
