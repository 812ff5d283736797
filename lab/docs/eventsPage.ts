import {
  catalog,
  describedSchema,
  type EventDraft,
  type EventType,
  eventTypes,
  type SubjectKind,
  streamOf,
  subjectOf,
  typeNameOf,
} from '../../libs/events/mod.ts';
import { type SchemaNode, table, typeText } from './schemaText.ts';

/** Whoever stands in a subject, in braces. */
const placeholders = {
  server: '{server}',
  pool: '{pool}',
  proxy: '{proxy}',
  prober: '{prober}',
  service: '{service}',
};

/** The subject of an event with its variable tokens in braces: `nemuri.state.{server}.power`. */
export function addressOf(type: EventType): string {
  const fields = Object.keys(catalog[type].schema.properties);
  const data = Object.fromEntries(Object.entries(placeholders).filter(([name]) => fields.includes(name)));
  return subjectOf({ type, data } as unknown as EventDraft);
}

const writers: Readonly<Record<SubjectKind, string>> = {
  config: 'Configuration, by the command line or at the start',
  decision: 'Decisions, by the planner',
  capacity: 'Capacity, by the planner',
  pool: 'Pools, by the power service',
  power: 'Power, by the power service',
  health: 'Health, by the health service',
  agent: 'By the agent of the server',
  traffic: 'Traffic, by each proxy',
  operator: 'The operator’s hand, by the command line and the console',
  energy: 'Energy, by the power service',
  load: 'Load, by each proxy',
  probe: 'Probes, by the health service',
  meter: 'Meters, by the power service',
  lease: 'Leases, by the replica that leads',
  heartbeat: 'Heartbeats, by the agent or the health service',
};

/** docs/reference/events.md. */
export function renderEventsPage(): string {
  const parts = (Object.keys(writers) as SubjectKind[]).map((kind) => {
    const types = eventTypes.filter((type) => catalog[type].kind === kind);
    return `## ${writers[kind]}\n\n${types.map(eventText).join('\n\n')}`;
  });
  return `# Events: every one

Made from libs/events by \`npm run docs\`. CloudEvents 1.0 in binary mode: the attributes are NATS headers (\`ce-id\`, \`ce-type\`, \`ce-source\`, \`ce-time\`, and \`traceparent\`), the data is JSON. An event may gain fields without a new version; a reader passes over those it does not know. The same for programs: [asyncapi.yaml](../asyncapi.yaml), [events.schema.json](../events.schema.json). How to subscribe: [examples](../../examples/README.md).

\`FLEET\` is the history and keeps 400 days, \`TELEMETRY\` one. Each subject has one writer.

${parts.join('\n\n')}
`;
}

function eventText(type: EventType): string {
  const schema = describedSchema(type) as SchemaNode;
  const rows = Object.entries(schema.properties ?? {}).flatMap(([name, node]) =>
    rowsOf(name, node, schema.required?.includes(name) ?? false),
  );
  return `### ${type}

${schema.description} \`${typeNameOf(type)}\` on \`${addressOf(type)}\`, stream ${streamOf(type)}.

${table(['field', 'value', 'meaning'], rows)}`;
}

function rowsOf(name: string, node: SchemaNode, required: boolean): string[][] {
  const own = [`\`${name}\`${required ? '' : ' (optional)'}`, typeText(node), node.description ?? ''];
  const entry = Object.values(node.patternProperties ?? {})[0];
  const below = Object.entries(node.properties ?? entry?.properties ?? {}).flatMap(([child, its]) =>
    rowsOf(`${name}${entry ? '.NAME' : ''}.${child}`, its, true),
  );
  return [own, ...below];
}
