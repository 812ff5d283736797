import type { Command } from 'commander';

/** What can stand behind one command: its subcommands and options. Made from the program itself, so it can't differ. */
interface Place {
  /** Such as `nemuri power test`. */
  readonly path: string;
  readonly words: readonly Word[];
}

interface Word {
  readonly text: string;
  readonly help: string;
  /** `file`: a path follows; `value`: something we can't know follows. */
  readonly takes?: 'file' | 'value';
}

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** The completion script of the whole program for one shell. */
export function completionScript(program: Command, shell: Shell): string {
  const places = placesOf(program, program.name());
  if (shell === 'bash') return bash(program.name(), places);
  return shell === 'zsh' ? zsh(program.name(), places) : fish(program.name(), places);
}

function placesOf(command: Command, path: string): Place[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command);
  const options = help.visibleOptions(command).flatMap((option): Word[] => {
    const text = option.long ?? option.short;
    if (!text) return [];
    const word = { text, help: option.description };
    if (!option.required) return [word];
    return [{ ...word, takes: /<(file|dir|csv)>/i.test(option.flags) ? 'file' : 'value' }];
  });
  const words = [
    ...commands.map((sub) => ({ text: sub.name(), help: sub.description() })),
    ...options,
    ...choicesOf(command),
  ];
  const deeper = commands
    .filter((sub) => sub.name() !== 'help')
    .flatMap((sub) => placesOf(sub, `${path} ${sub.name()}`));
  return [{ path, words }, ...deeper];
}

function choicesOf(command: Command): Word[] {
  return command.registeredArguments.flatMap(({ argChoices = [], description }) =>
    argChoices.map((text) => ({ text, help: description })),
  );
}

function withValues(places: readonly Place[], takes: Word['takes']): string {
  const words = places.flatMap((place) => place.words.filter((word) => word.takes === takes));
  return [...new Set(words.map(({ text }) => text))].join('|');
}

/** Longest path that the words before the cursor spell, in a shell of Bourne's kind. */
function pathLoop(words: string, places: readonly Place[]): string {
  const paths = places.map(({ path }) => `"${path}"`).join('|');
  return `  for word in ${words}; do
    case "$verb $word" in
      ${paths}) verb="$verb $word" ;;
    esac
  done`;
}

function bash(name: string, places: readonly Place[]): string {
  const cases = places.map(
    ({ path, words }) => `    "${path}") words="${words.map(({ text }) => text).join(' ')}" ;;`,
  );
  return `# ${name} completion bash; install: ${name} completion bash > ~/.local/share/bash-completion/completions/${name}
_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} verb="${name}" word words=""
  case "$previous" in
    ${withValues(places, 'file')}|-c) COMPREPLY=($(compgen -f -- "$current")); return ;;
    ${withValues(places, 'value')}) COMPREPLY=(); return ;;
  esac
${pathLoop(`"\${COMP_WORDS[@]:1:COMP_CWORD-1}"`, places)}
  case "$verb" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o filenames -F _${name} ${name}`;
}

function zsh(name: string, places: readonly Place[]): string {
  const cases = places.map(({ path, words }) => {
    const entries = words.map(
      ({ text, help }) => `      '${plain(text)}:${plain(help).replaceAll(':', '\\:')}'`,
    );
    return `    "${path}") entries=(\n${entries.join('\n')}\n    ) ;;`;
  });
  return `#compdef ${name}
# ${name} completion zsh; install: ${name} completion zsh > a folder of your $fpath, as _${name}
_${name}() {
  local verb="${name}" word
  local -a entries
  case "\${words[CURRENT-1]}" in
    ${withValues(places, 'file')}|-c) _files; return ;;
    ${withValues(places, 'value')}) return ;;
  esac
${pathLoop(`"\${(@)words[2,CURRENT-1]}"`, places)}
  case "$verb" in
${cases.join('\n')}
  esac
  _describe '${name}' entries
}
if [[ "\${funcstack[1]}" = "_${name}" ]]; then _${name} "$@"; else compdef _${name} ${name}; fi`;
}

function fish(name: string, places: readonly Place[]): string {
  const lines = places.flatMap(({ path, words }) => {
    const when = `-n '__${name}_at "${path}"'`;
    return words.map(({ text, help, takes }) => {
      const what = text.startsWith('--') ? `-l ${text.slice(2)}` : `-a '${plain(text)}'`;
      const value = takes === 'file' ? ' -r -F' : takes === 'value' ? ' -x' : '';
      return `complete -c ${name} ${when} ${what}${value} -d '${plain(help)}'`;
    });
  });
  const paths = places.map(({ path }) => `"${path}"`).join(' ');
  return `# ${name} completion fish; install: ${name} completion fish > ~/.config/fish/completions/${name}.fish
function __${name}_at
  set -l path ${name}
  for word in (commandline -opc)[2..-1]
    if contains -- "$path $word" ${paths}
      set path "$path $word"
    end
  end
  test "$path" = $argv[1]
end
complete -c ${name} -f
${lines.join('\n')}`;
}

/** Fit for single quotes. */
function plain(text: string): string {
  return text.replaceAll('\\', '').replaceAll("'", '’').replaceAll('\n', ' ');
}
