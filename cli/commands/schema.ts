import type { Command } from 'commander';
import { configJsonSchema } from '../../libs/runtime/configJsonSchema.ts';
import type { Cli } from '../cli.ts';

/** `nemuri schema`: the JSON Schema of the configuration, for editors. */
export function registerSchema(program: Command, cli: Cli): void {
  program
    .command('schema')
    .description('print the JSON Schema of the configuration')
    .addHelpText('after', '\nExample:\n  nemuri schema > nemuri.schema.json')
    .action(() => cli.out(JSON.stringify(configJsonSchema(), null, 2)));
}
