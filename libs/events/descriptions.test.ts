import { catalog, type EventType, eventTypes } from './catalog.ts';
import { describedSchema, eventDescriptions, fieldDescriptions } from './descriptions.ts';

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly patternProperties?: Readonly<Record<string, Node>>;
  readonly description?: string;
}

/** Every field of an event, nested ones too. */
function fieldsOf(node: Node): [string, Node][] {
  const own = Object.entries(node.properties ?? {});
  const below = [...own.map(([, child]) => child), ...Object.values(node.patternProperties ?? {})];
  return [...own, ...below.flatMap(fieldsOf)];
}

test.each(eventTypes)('%s and each of its fields has a description', (type) => {
  const schema = describedSchema(type) as Node;
  expect(schema.description).toMatch(/^[A-Z].*\.$/);
  const bare = fieldsOf(schema).flatMap(([name, { description }]) => (description ? [] : [name]));
  expect(bare).toEqual([]);
});

test('no description is of an event or a field that there is not', () => {
  expect(Object.keys(eventDescriptions).sort()).toEqual([...eventTypes].sort());
  const names = new Set(
    eventTypes.flatMap((type) =>
      fieldsOf(catalog[type].schema as Node).flatMap(([name]) => [name, `${type}.${name}`]),
    ),
  );
  expect(Object.keys(fieldDescriptions).filter((name) => !names.has(name))).toEqual([]);
});

test('the catalogue itself stays as it is', () => {
  const before = JSON.stringify(catalog);
  for (const type of eventTypes) describedSchema(type as EventType);
  expect(JSON.stringify(catalog)).toBe(before);
});
