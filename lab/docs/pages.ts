import { configJsonSchema } from '../../libs/runtime/configJsonSchema.ts';
import { renderAsyncApi, renderEventSchemas } from './asyncapi.ts';
import { renderConfigPage } from './configPage.ts';
import { renderEventsPage } from './eventsPage.ts';
import { renderMetricsPage } from './metricsPage.ts';
import { renderTruthTable } from './truthTable.ts';

/** Every file of docs/ that is made from the code, and what makes it. */
export function generatedFiles(version: string): Readonly<Record<string, string>> {
  return {
    'docs/truth-table.md': renderTruthTable(),
    'docs/nemuri.schema.json': `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
    'docs/reference/config.md': renderConfigPage(),
    'docs/reference/events.md': renderEventsPage(),
    'docs/reference/metrics.md': renderMetricsPage(),
    'docs/events.schema.json': renderEventSchemas(),
    'docs/asyncapi.yaml': renderAsyncApi(version),
  };
}
