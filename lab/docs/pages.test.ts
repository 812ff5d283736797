import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { type CloudEvent, HTTP } from 'cloudevents';
import { parse } from 'yaml';
import { draftOf } from '../../libs/domain/testing/builders.ts';
import { decode, encode, eventTypes, subjectOf, typeNameOf } from '../../libs/events/mod.ts';
import { metricNames, prometheusName } from '../../libs/runtime/metricCatalog.ts';
import { configKeys } from './configPage.ts';
import { addressOf } from './eventsPage.ts';
import { generatedFiles } from './pages.ts';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const files = generatedFiles(version);

// Made by: npm run docs
test.each(Object.keys(files))('%s is as the code has it', async (file) => {
  expect(await readFile(file, 'utf8')).toBe(files[file]);
});

describe('the reference', () => {
  const page = (name: string) => files[`docs/reference/${name}.md`] ?? '';

  test('has every event, and none besides', () => {
    const named = [...page('events').matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
    expect(named.sort()).toEqual([...eventTypes].sort());
  });

  test('has every metric, and none besides', () => {
    const named = [...page('metrics').matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
    expect(named.sort()).toEqual(metricNames.map(prometheusName).sort());
  });

  test('has every key once, each with its meaning', () => {
    const rows = [...page('config').matchAll(/^\| `([^`]+)` \| .* \| (.*) \|$/gm)];
    expect(rows.map(([, path]) => path).sort()).toEqual(
      configKeys()
        .map(({ path }) => path)
        .sort(),
    );
    const bare = rows.filter(
      ([, path = '', meaning]) => meaning === '' && !/\.(driver|kind)$|^version$/.test(path),
    );
    expect(bare.map(([, path]) => path)).toEqual([]);
  });
});

describe('events for others', () => {
  const schemas = JSON.parse(files['docs/events.schema.json'] ?? '') as { $defs: Record<string, object> };

  test.each(eventTypes)('%s matches its published schema and its address', (type) => {
    const draft = draftOf(type, {});
    const validate = new Ajv2020({ strict: false }).compile(schemas.$defs[typeNameOf(type)] ?? { not: {} });
    expect([validate(draft.data), validate.errors]).toEqual([true, null]);
    expect(validate({})).toBe(false);
    const address = addressOf(type)
      .replace(/\{\w+\}/g, '[a-z0-9-]+')
      .replaceAll('.', '\\.');
    expect(subjectOf(draft)).toMatch(new RegExp(`^${address}$`));
  });

  test.each(eventTypes)('%s as it goes over the wire is a CloudEvent to its SDK', (type) => {
    const draft = draftOf(type, {});
    const timeMs = 1_900_000_000_123;
    const { subject, headers, payload } = encode(draft, { id: 'event 1', source: '/nemuri/rack 1', timeMs });
    // The binary mode of HTTP and that of NATS have the same headers, save for the content type.
    const { 'ce-datacontenttype': contentType = '', ...rest } = headers;
    const body = new TextDecoder().decode(payload);
    const event = HTTP.toEvent({ headers: { ...rest, 'content-type': contentType }, body });
    const one = event as CloudEvent<unknown>;
    expect(one.validate()).toBe(true);
    expect(one.toJSON()).toMatchObject({
      specversion: '1.0',
      type: typeNameOf(type),
      time: new Date(timeMs).toISOString(),
      datacontenttype: 'application/json',
      data: draft.data,
    });
    const stored = {
      subject,
      sequence: 1,
      storedMs: timeMs,
      payload,
      header: (name: string) => headers[name] ?? '',
    };
    expect(decode(stored)).toMatchObject({ ok: true, event: { id: 'event 1', source: '/nemuri/rack 1' } });
  });

  test('asyncapi.yaml is an AsyncAPI 3.0 document, and every reference in it leads somewhere', () => {
    const document = parse(files['docs/asyncapi.yaml'] ?? '') as Record<string, unknown>;
    const file = join('node_modules', '@asyncapi', 'specs', 'schemas', '3.0.0-without-$id.json');
    const ajv = new Ajv({ strict: false, validateFormats: false });
    const validate = ajv.compile(JSON.parse(readFileSync(file, 'utf8')));
    expect([validate(document), validate.errors]).toEqual([true, null]);
    expect(validate({ ...document, channels: { bad: { address: 7 } } })).toBe(false);
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(
      ([, path = '']) => path,
    );
    const target = (path: string) =>
      path
        .split('/')
        .reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], document);
    expect(references.filter((path) => target(path) === undefined)).toEqual([]);
    const { messages } = document.components as { messages: object };
    expect(Object.keys(messages).sort()).toEqual([...eventTypes].sort());
  });
});
