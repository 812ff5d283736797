import { FleetConfigSchema } from '../events/mod.ts';
import { isMapping } from './configYaml.ts';

/**
 * The JSON Schema (draft 2020-12) of what a person writes into the configuration file, for editors: keys with a
 * default may be left out, and names that break their pattern are refused. The rules between keys are not in it;
 * `parseConfig` has them.
 */
export function configJsonSchema(): object {
  const schema = asWritten(JSON.parse(JSON.stringify(FleetConfigSchema))) as object;
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Nemuri configuration',
    ...schema,
  };
}

function asWritten(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(asWritten);
  if (!isMapping(node)) return node;
  const schema: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(node)) {
    schema[key] = key === 'default' || key === 'const' ? value : asWritten(value);
  }
  const { properties, required, patternProperties } = schema;
  if (isMapping(properties) && Array.isArray(required)) {
    const needed = required.filter((key) => {
      const property = properties[String(key)];
      return !(isMapping(property) && 'default' in property);
    });
    if (needed.length > 0) schema.required = needed;
    else delete schema.required;
  }
  if (patternProperties !== undefined) schema.additionalProperties = false;
  return schema;
}
