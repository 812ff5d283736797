import { configJsonSchema } from '../../libs/runtime/configJsonSchema.ts';
import { defaultText, type SchemaNode, table, typeText } from './schemaText.ts';

interface Key {
  /** Such as `pools.NAME.planner.risk`. */
  readonly path: string;
  readonly node: SchemaNode;
  readonly required: boolean;
}

/** Every key of the configuration with its full path; the methods of `power` by their driver. */
export function configKeys(): Key[] {
  return keysBelow(configJsonSchema() as SchemaNode, '');
}

function keysBelow(node: SchemaNode, path: string): Key[] {
  const own = Object.entries(node.properties ?? {}).flatMap(([name, child]): Key[] => {
    const full = path === '' ? name : `${path}.${name}`;
    const required = node.required?.includes(name) ?? false;
    return [{ path: full, node: child, required }, ...keysBelow(child, full)];
  });
  const named = Object.values(node.patternProperties ?? {}).flatMap((child) =>
    keysBelow(child, `${path}.NAME`),
  );
  const listed = node.items ? keysBelow(node.items, `${path}[]`) : [];
  const branches = (node.anyOf ?? []).flatMap((branch) =>
    keysBelow(branch, `${path}${discriminator(branch)}`),
  );
  return [...own, ...named, ...listed, ...branches];
}

/** What tells this branch of a union from the others: `(redfish)`, `(http)`. */
function discriminator({ properties }: SchemaNode): string {
  const word = properties?.driver?.const ?? properties?.kind?.const;
  return word === undefined ? '' : ` (${String(word)})`;
}

const sections: readonly (readonly [title: string, prefix: string])[] = [
  ['The file', ''],
  ['A pool', 'pools.NAME'],
  ['A server', 'servers.NAME'],
  ['Power methods', 'servers.NAME.power'],
  ['Bounds', 'bounds'],
  ['Notifications', 'notifications'],
  ['Costs', 'costs'],
  ['The proxy', 'proxy'],
];

/** docs/reference/config.md. */
export function renderConfigPage(): string {
  const keys = configKeys();
  const parts = sections.map(([title, prefix]) => {
    const its = keys.filter(({ path }) => sectionOf(path) === prefix);
    const rows = its.map(({ path, node, required }) => [
      `\`${path}\``,
      typeText(node),
      required ? 'required' : defaultText(node),
      node.description ?? '',
    ]);
    return `## ${title}\n\n${table(['key', 'value', 'default', 'meaning'], rows)}`;
  });
  return `# Configuration: every key

Made from the schema by \`npm run docs\`; the schema itself, for editors, is [nemuri.schema.json](../nemuri.schema.json). \`NAME\` is a name of yours: a DNS label. Times are in milliseconds where the key ends in \`Ms\`. \`nemuri validate\` knows more rules, between keys, and says which one is broken. Methods are explained in [power.md](../power.md), probes and heartbeats in [health.md](../health.md).

${parts.join('\n\n')}
`;
}

function sectionOf(path: string): string {
  const fitting = sections.filter(
    ([, prefix]) => prefix !== '' && path.startsWith(`${prefix}`) && path !== prefix,
  );
  return fitting.at(-1)?.[1] ?? '';
}
