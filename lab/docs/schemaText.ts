/** JSON Schema in words, for the tables of the reference. */

export interface SchemaNode {
  readonly type?: string;
  readonly const?: unknown;
  readonly description?: string;
  readonly default?: unknown;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly anyOf?: readonly SchemaNode[];
  readonly items?: SchemaNode;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
}

/** What a value may be: its type, its bounds, or the words it is one of. */
export function typeText(node: SchemaNode): string {
  if (node.const !== undefined) return `\`${String(node.const)}\``;
  if (node.anyOf) {
    const options = node.anyOf.map(typeText);
    return [...new Set(options)].join(', ');
  }
  if (node.type === 'array') return `list of ${node.items ? typeText(node.items) : 'anything'}`;
  if (node.type === 'object') return node.patternProperties ? 'by name' : 'object';
  const low =
    node.exclusiveMinimum === undefined
      ? node.minimum === undefined
        ? ''
        : `≥ ${node.minimum}`
      : `> ${node.exclusiveMinimum}`;
  const high = node.maximum === undefined ? '' : `≤ ${node.maximum}`;
  const bounds = [low, high].filter((part) => part !== '').join(', ');
  return `${node.type ?? 'any'}${bounds === '' ? '' : ` ${bounds}`}`;
}

export function defaultText({ default: value }: SchemaNode): string {
  if (value === undefined || value === '') return '';
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
    return Array.isArray(value) ? 'none' : '';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

/** A table of Markdown; what stands in a cell must not end it. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}
