import { writeFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import type { BmcAddress, BmcFound, BmcLookMessage } from '../../libs/runtime/bmcLook.ts';
import { readCertificate, type SeenCertificate } from '../../libs/runtime/certificate.ts';
import { parseConfig } from '../../libs/runtime/config.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { positiveNumber } from '../busOptions.ts';
import { type Cli, CliError, oneLine } from '../cli.ts';
import { counted, printProblems } from '../configFile.ts';
import { type FirstBmc, type FirstServer, firstConfigYaml, nameFrom } from '../firstConfig.ts';
import { runPowerJob } from '../serviceJob.ts';

interface Named {
  readonly name?: string;
  readonly address: string;
}

interface InitOptions {
  readonly out: string;
  readonly force?: boolean;
  readonly yes?: boolean;
  readonly pool: string;
  readonly server: readonly Named[];
  readonly bmc: readonly Named[];
  readonly bmcUser: string;
  readonly bmcPassword: string;
  readonly healthPath: string;
  readonly capacity: number;
  readonly pricePerKwh?: number;
  /** Seconds. */
  readonly timeout: number;
}

const details = `
On a terminal it asks for what the options leave open; elsewhere, and with --yes, it takes the defaults.
BMCs are only read: systems, network cards, reset types, meters. The certificate of a BMC that no CA of this machine
vouches for is pinned as it is first seen; compare its fingerprint with the one on the BMC's own page.

Examples:
  nemuri init
  nemuri init --yes --server web-1=http://10.0.0.11:8080 --server web-2=http://10.0.0.12:8080
  NEMURI_BMC_PASSWORD=… nemuri init --bmc 10.0.1.11 --bmc 10.0.1.12 --bmc-user nemuri
  nemuri init --yes --server web-1=http://10.0.0.11:8080 --bmc web-1=https://10.0.1.11 --bmc-password file:/etc/nemuri/bmc`;

/** `nemuri init`: a first configuration, by asking and by reading BMCs. */
export function registerInit(program: Command, cli: Cli): void {
  program
    .command('init')
    .description('write a first, commented configuration: asks, and reads the BMCs it is given')
    .option('-o, --out <file>', 'where to', 'nemuri.yaml')
    .option('--force', 'replace the file if it is there')
    .option('-y, --yes', 'ask nothing, take the defaults')
    .option('--pool <name>', 'name of the pool', 'web')
    .option('--server <name=url>', 'a server and where it serves; may be repeated', collectNamed, [])
    .option(
      '--bmc <address>',
      'a BMC that speaks Redfish, or NAME=ADDRESS; may be repeated',
      collectNamed,
      [],
    )
    .option('--bmc-user <name>', 'user of the BMCs', 'nemuri')
    .option(
      '--bmc-password <place>',
      'where their password is: env:NAME or file:/path',
      place,
      'env:NEMURI_BMC_PASSWORD',
    )
    .option('--health-path <path>', 'asked to see whether a server may get requests', '/')
    .option('--capacity <requests>', 'requests/s that each server sustains', positiveNumber, 100)
    .option('--price-per-kwh <euros>', 'for the energy report', positiveNumber)
    .option('--timeout <seconds>', 'how long one BMC may take', positiveNumber, 30)
    .addHelpText('after', details)
    .action((options: InitOptions) => init(cli, options));
}

async function init(cli: Cli, given: InitOptions): Promise<void> {
  const options = cli.ask && !given.yes ? await asked(cli, cli.ask, given) : given;
  if (options.server.length + options.bmc.length === 0)
    throw new CliError(2, 'name at least one server: --server NAME=URL or --bmc ADDRESS');
  const bmcs = await certified(cli, options);
  const found = bmcs.length === 0 ? [] : await look(cli, bmcs, options.timeout * 1_000);
  const servers = serversOf(options, bmcs, found);
  const { pool, healthPath, pricePerKwh, out } = options;
  const text = firstConfigYaml({
    pool,
    healthPath,
    servers,
    ...(pricePerKwh === undefined ? {} : { pricePerKwh }),
  });
  const result = parseConfig(text, { file: out });
  if (!result.ok) {
    printProblems(cli.out, result.problems);
    throw new CliError(2, `nothing is written: ${counted(result.problems.length, 'answer')} can't be taken`);
  }
  await writeFile(out, text, { flag: options.force ? 'w' : 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') throw new CliError(1, `${out} is there already; --force replaces it`);
    throw new CliError(2, `${out} can't be written: ${messageOf(error)}`, { cause: error });
  });
  cli.out(`${out} is written: ${counted(servers.length, 'server')} in the pool ${pool}. Then:`);
  // Called by npx, it is on no path.
  const nemuri = cli.env.npm_command === 'exec' ? 'npx nemuri' : 'nemuri';
  cli.out(`  ${nemuri} validate -c ${out}`);
  const [first] = servers;
  if (first?.bmc) cli.out(`  ${nemuri} power test -c ${out} --server ${first.name}`);
  cli.out(`  ${nemuri} up -c ${out}`);
  cli.out(`  ${nemuri} doctor -c ${out}`);
}

type Ask = NonNullable<Cli['ask']>;
/** Of one question, before it is given up. */
const maxTries = 5;

/** The options, with what they leave open asked for. An empty answer is the default. */
async function asked(cli: Cli, ask: Ask, given: InitOptions): Promise<InitOptions> {
  const say = async <T = string>(
    question: string,
    fallback: string,
    parse: (text: string) => T = (text) => text as T,
  ): Promise<T> => {
    for (let tries = 0; tries < maxTries; tries += 1) {
      const answer = await ask(`${question}${fallback === '' ? '' : ` [${fallback}]`}: `);
      try {
        return parse(answer.trim() || fallback);
      } catch (error) {
        cli.err(messageOf(error));
      }
    }
    throw new CliError(2, 'nothing is written: no answer that can be taken');
  };
  const listOf = (text: string) =>
    text
      .split(/[\s,]+/)
      .filter((part) => part !== '')
      .map(namedOf);
  const pool = await say('Name of the pool (the site that they serve)', given.pool);
  const bmc =
    given.bmc.length > 0
      ? given.bmc
      : await say('Addresses of BMCs that speak Redfish, by commas (none: empty)', '', listOf);
  const access = { bmcUser: given.bmcUser, bmcPassword: given.bmcPassword };
  if (bmc.length > 0) {
    access.bmcUser = await say('User of the BMCs', given.bmcUser);
    access.bmcPassword = await say('Where their password is', given.bmcPassword, place);
  }
  const server =
    given.server.length > 0
      ? given.server
      : await say('Servers as NAME=URL, by commas; those behind a BMC may be left out', '', listOf);
  const healthPath = await say('Path that says whether a server may get requests', given.healthPath);
  const capacity = await say('Requests/s that each server sustains', String(given.capacity), positiveNumber);
  return { ...given, ...access, pool, bmc, server, healthPath, capacity };
}

/** Each BMC with the certificate to hold it to. @throws CliError (1) when one does not answer or is not trusted. */
async function certified(
  cli: Cli,
  { bmc, bmcUser, bmcPassword, timeout, yes }: InitOptions,
): Promise<(BmcAddress & { readonly name?: string })[]> {
  const bmcs = await Promise.all(
    bmc.map(async ({ name, address }) => {
      const url = /^https?:\/\//.test(address) ? address.replace(/\/+$/, '') : `https://${address}`;
      const certificate = url.startsWith('https:')
        ? await readCertificate(url, timeout * 1_000).catch((error) => {
            throw new CliError(1, `nothing is written: ${messageOf(error)}`, { cause: error });
          })
        : undefined;
      const pinned = certificate?.trusted === false ? { fingerprint256: certificate.fingerprint256 } : {};
      if (certificate?.trusted === false) cli.err(oneLine(fingerprintLine(url, certificate)));
      return { url, username: bmcUser, password: bmcPassword, ...pinned, ...(name ? { name } : {}) };
    }),
  );
  const unknown = bmcs.some(({ fingerprint256 }) => fingerprint256 !== undefined);
  if (unknown && cli.ask && !yes && !/^y/i.test((await cli.ask('Are these your BMCs? [y/N]: ')).trim()))
    throw new CliError(1, 'nothing is written: a certificate is not trusted');
  return bmcs;
}

function fingerprintLine(url: string, { fingerprint256, subject }: SeenCertificate): string {
  return `${url} shows a certificate that no CA here vouches for (${subject}): SHA-256 ${fingerprint256}`;
}

/** @throws CliError (1) when a BMC can't be read, with what each of them said. */
async function look(cli: Cli, bmcs: readonly BmcAddress[], timeoutMs: number): Promise<BmcFound[]> {
  const found: BmcFound[] = [];
  await runPowerJob<BmcLookMessage>(cli, 'bmcLook.js', { bmcs, timeoutMs }, (message) => {
    if (message.kind === 'found') found.push(message.found);
  });
  const failed = found.filter((one) => 'problem' in one);
  for (const { url, problem } of failed) cli.err(oneLine(`nemuri: ${url}: ${problem}`));
  if (failed.length > 0)
    throw new CliError(1, `nothing is written: ${counted(failed.length, 'BMC')} can't be read`);
  return found;
}

/** Servers as they were named, and those that only their BMCs know of. */
function serversOf(
  { server, bmc, capacity }: InitOptions,
  bmcs: readonly (BmcAddress & { readonly name?: string })[],
  found: readonly BmcFound[],
): FirstServer[] {
  const urls = new Map(server.map(({ name, address }, index) => [name ?? `server-${index + 1}`, address]));
  const taken = new Set([...urls.keys(), ...bmc.flatMap(({ name }) => name ?? [])]);
  const withBmc = bmcs.flatMap(({ name: given, ...access }) => {
    const about = found.find(({ url }) => url === access.url);
    const systems = about && 'systems' in about ? about.systems : [];
    return systems.map((system, index): FirstServer => {
      // A server that was named, and whose machine says that it is this one.
      const itself = system.hostName ? nameFrom(system.hostName, new Set()) : '';
      const own = urls.has(itself) ? itself : nameFrom(system.hostName, taken);
      const name = given !== undefined && index === 0 ? given : own;
      taken.add(name);
      const several = systems.length > 1;
      const bmcOfIt: FirstBmc = { ...access, system, ...(several ? { several } : {}) };
      const url = urls.get(name) ?? `http://${system.hostName ?? name}`;
      urls.delete(name);
      return { name, url, capacityRps: capacity, bmc: bmcOfIt };
    });
  });
  const without = [...urls].map(([name, url]) => ({ name, url, capacityRps: capacity }));
  return [...withBmc, ...without];
}

function namedOf(text: string): Named {
  const [, name, address] = /^([a-z0-9-]+)=(.+)$/.exec(text) ?? [];
  return name !== undefined && address !== undefined ? { name, address } : { address: text };
}

function collectNamed(text: string, before: readonly Named[]): Named[] {
  return [...before, namedOf(text)];
}

function place(text: string): string {
  if (!/^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/.test(text))
    throw new InvalidArgumentError(
      'It must say where the password is, never the password: env:NAME or file:/path.',
    );
  return text;
}
