import { type ParseArgsConfig, parseArgs } from 'node:util';
import { messageOf } from '../libs/runtime/errors.ts';

/**
 * The options of a program. Nothing after `--help`, which prints `help`, and after a wrong option, which prints what is
 * wrong with it and sets the exit code to 2.
 * @param parse throws an Error naming the option, the rule and the value.
 */
export function readOptions<T>(parse: (args: readonly string[]) => T | 'help', help: string): T | undefined {
  const text = `${help.trimEnd()}\n`;
  try {
    const parsed = parse(process.argv.slice(2));
    if (parsed !== 'help') return parsed;
    process.stdout.write(text);
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${text}`);
    process.exitCode = 2;
  }
  return undefined;
}

/** The flags of a program that is one file: it ends here after `--help` (exit code 0) and after a wrong flag (2). */
export function readFlags<const O extends NonNullable<ParseArgsConfig['options']>>(help: string, options: O) {
  const parse = (args: readonly string[]) => {
    if (args.includes('--help')) return 'help';
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  };
  return readOptions(parse, help) ?? process.exit();
}
