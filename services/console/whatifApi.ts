import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { Fleet } from '../../libs/domain/mod.ts';
import { NamePattern } from '../../libs/events/mod.ts';
import { ProblemError } from '../../libs/runtime/errors.ts';
import type { Access } from './access.ts';
import type { NeedSession } from './http.ts';
import { parsed } from './parsed.ts';
import { type TriedSetting, triedSettings, type Whatif } from './whatif.ts';

export interface WhatifApiOptions {
  readonly app: FastifyInstance;
  readonly access: Access;
  readonly needSession: NeedSession;
  readonly fleet: () => Fleet;
  readonly whatif: Whatif;
}

const maxHours = 24;
const QuestionSchema = Type.Object(
  {
    pool: Type.String({ pattern: NamePattern }),
    hours: Type.Integer({ minimum: 1, maximum: maxHours }),
    settings: Type.Record(Type.String({ maxLength: 64 }), Type.Number(), {
      minProperties: 1,
      maxProperties: 16,
    }),
  },
  { additionalProperties: false },
);

/** What can be tried on the recorded load, and what comes of it. Nothing here changes the fleet. */
export function addWhatifApi({ app, access, needSession, fleet, whatif }: WhatifApiOptions): void {
  const settingsOf = (pool: string): TriedSetting[] => {
    const { config } = fleet();
    const settings = config && triedSettings(config, pool);
    if (!settings) throw new ProblemError('NEMURI_NOT_FOUND', `there is no pool ${pool}`);
    return settings;
  };

  app.get<{ Params: { pool: string } }>('/api/whatif/:pool', async (request) => {
    needSession(request);
    return { settings: settingsOf(request.params.pool), maxHours };
  });
  app.post('/api/whatif', async (request, reply) => {
    needSession(request);
    access.checkOrigin(request.raw);
    access.countAction(request.raw);
    const question = parsed(QuestionSchema, request.body);
    const known = settingsOf(question.pool);
    for (const [key, value] of Object.entries(question.settings)) {
      const refusal = refusalOf(
        known.find((setting) => setting.key === key),
        value,
      );
      if (refusal) throw new ProblemError('NEMURI_INVALID', `/settings/${key}: ${refusal}`);
    }
    const abort = new AbortController();
    reply.raw.once('close', () => abort.abort());
    return whatif.ask(question, abort.signal);
  });
}

function refusalOf(setting: TriedSetting | undefined, value: number): string | undefined {
  if (!setting) return 'is no setting that can be tried';
  const { minimum, maximum = Number.POSITIVE_INFINITY, isWhole } = setting;
  if (isWhole && !Number.isInteger(value)) return `must be a whole number (got ${value})`;
  if (value >= minimum && value <= maximum) return undefined;
  return `must be between ${minimum} and ${maximum} (got ${value})`;
}
