import { stringify } from 'yaml';
import {
  describedSchema,
  type EventType,
  eventDescriptions,
  eventTypes,
  streamOf,
  typeNameOf,
} from '../../libs/events/mod.ts';
import { addressOf } from './eventsPage.ts';

const schemaUri = 'https://json-schema.org/draft/2020-12/schema';

/** docs/events.schema.json: the schema of each event's data, under `$defs`. */
export function renderEventSchemas(): string {
  const defs = Object.fromEntries(eventTypes.map((type) => [typeNameOf(type), describedSchema(type)]));
  const schema = { $schema: schemaUri, title: 'Data of Nemuri events, by CloudEvents type', $defs: defs };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

/** What every message carries as NATS headers (CloudEvents NATS protocol binding, binary mode). */
const headers = {
  type: 'object',
  required: ['ce-specversion', 'ce-id', 'ce-type', 'ce-source', 'ce-time', 'ce-datacontenttype'],
  properties: {
    'ce-specversion': { type: 'string', const: '1.0' },
    'ce-id': { type: 'string', description: 'Also Nats-Msg-Id: the same event is stored once' },
    'ce-type': { type: 'string', description: 'nemuri.<Event>.v<version>' },
    'ce-source': { type: 'string', description: 'Which process said it, such as /nemuri/proxy/proxy-0' },
    'ce-time': { type: 'string', format: 'date-time' },
    'ce-datacontenttype': { type: 'string', const: 'application/json' },
    traceparent: { type: 'string', description: 'W3C trace context, where there is a trace' },
  },
};

/** docs/asyncapi.yaml: the events as an AsyncAPI 3.0 document, one channel a subject. */
export function renderAsyncApi(version: string): string {
  const byAddress = new Map<string, EventType[]>();
  for (const type of eventTypes) {
    const address = addressOf(type);
    byAddress.set(address, [...(byAddress.get(address) ?? []), type]);
  }
  const document = {
    asyncapi: '3.0.0',
    info: {
      title: 'Nemuri events',
      version,
      license: { name: 'Apache-2.0' },
      description:
        'Facts about a farm of web servers, as CloudEvents 1.0 in binary mode over NATS JetStream. Made from libs/events by npm run docs.',
    },
    defaultContentType: 'application/json',
    servers: {
      nats: { host: 'localhost:4222', protocol: 'nats', description: 'With JetStream, 2.9 or newer' },
    },
    channels: Object.fromEntries(
      [...byAddress].map(([address, types]) => [channelName(address), channel(address, types)]),
    ),
    operations: Object.fromEntries(
      [...byAddress.keys()].map((address) => [
        `publish_${channelName(address)}`,
        { action: 'send', channel: { $ref: `#/channels/${channelName(address)}` } },
      ]),
    ),
    components: {
      schemas: { headers },
      messages: Object.fromEntries(eventTypes.map((type) => [type, message(type)])),
    },
  };
  return `# Made by npm run docs; not edited by hand.\n${stringify(document, { aliasDuplicateObjects: false, lineWidth: 110 })}`;
}

function channelName(address: string): string {
  return address.replaceAll('.', '_').replace(/[{}]/g, '');
}

function channel(address: string, types: readonly EventType[]) {
  const names = [...address.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  const [first] = types;
  const parameters = Object.fromEntries(names.map((name) => [name, { description: `Name of the ${name}` }]));
  return {
    address,
    ...(first ? { description: `In the stream ${streamOf(first)}` } : {}),
    ...(names.length > 0 ? { parameters } : {}),
    messages: Object.fromEntries(types.map((type) => [type, { $ref: `#/components/messages/${type}` }])),
  };
}

function message(type: EventType) {
  return {
    name: typeNameOf(type),
    title: type,
    summary: eventDescriptions[type],
    contentType: 'application/json',
    headers: { $ref: '#/components/schemas/headers' },
    payload: describedSchema(type),
  };
}
