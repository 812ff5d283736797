import { Argument, type Command } from 'commander';
import type { Cli } from '../cli.ts';
import { completionScript, type Shell, shells } from '../completion.ts';

/** `nemuri completion`: the shell completion, made from the commands that there are. */
export function registerCompletion(program: Command, cli: Cli): void {
  program
    .command('completion')
    .description('print the completion script of a shell')
    .addArgument(new Argument('<shell>', 'which').choices(shells))
    .addHelpText(
      'after',
      '\nExamples:\n  source <(nemuri completion bash)\n  nemuri completion zsh > ~/.zfunc/_nemuri\n  nemuri completion fish > ~/.config/fish/completions/nemuri.fish',
    )
    .action((shell: Shell) => cli.out(completionScript(program, shell)));
}
