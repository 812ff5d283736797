import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { endProcess } from '../../../../libs/runtime/supervisor.ts';
import { findProgram, freeUdpPort, secretText } from './peers.ts';

/** A BMC by OpenIPMI's ipmi_sim, whose chassis is a file: `1` on, `0` off. */
export interface IpmiSim {
  readonly port: number;
  power(): Promise<'0' | '1'>;
  setPower(power: '0' | '1'): Promise<void>;
  /** What was done to the chassis, oldest first: `power 1`, `shutdown 1`, … */
  commands(): Promise<string[]>;
  stop(): Promise<void>;
}

/** Users: `nemuri` (operator) and `boss` (admin), both with the password of the tests. */
export async function startIpmiSim(folder: string): Promise<IpmiSim> {
  const port = await freeUdpPort();
  const [power, log, chassis] = ['power', 'log', 'chassis'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(join(folder, 'state'));
  await writeFile(power, '0');
  await writeFile(log, '');
  await writeFile(chassis, chassisScript(power, log));
  await chmod(chassis, 0o755);
  const auths = ['callback', 'user', 'operator', 'admin'].map(
    (privilege) => `allowed_auths_${privilege} none md2 md5 straight`,
  );
  await writeFile(
    join(folder, 'lan.conf'),
    `name "web1"
set_working_mc 0x20
startlan 1
addr 127.0.0.1 ${port}
priv_limit admin
${auths.join('\n')}
guid a123456789abcdefa123456789abcdef
endlan
chassis_control "${chassis}"
user 1 false "" "" user 10 none md2 md5 straight
user 2 true "nemuri" "${secretText}" operator 10 none md2 md5 straight
user 3 true "boss" "${secretText}" admin 10 none md2 md5 straight
`,
  );
  await writeFile(
    join(folder, 'commands'),
    'mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n',
  );
  const args = [
    '-c',
    join(folder, 'lan.conf'),
    '-f',
    join(folder, 'commands'),
    '-s',
    join(folder, 'state'),
    '-n',
  ];
  const child: ChildProcess = spawn(findProgram('ipmi_sim') ?? 'ipmi_sim', args, {
    stdio: 'ignore',
  });
  await once(child, 'spawn');
  return {
    port,
    power: async () => ((await readFile(power, 'utf8')).trim() === '1' ? '1' : '0'),
    setPower: (state) => writeFile(power, state),
    commands: async () => (await readFile(log, 'utf8')).split('\n').filter(Boolean),
    stop: () => endProcess(child, 2_000),
  };
}

/** ipmi_lan(5), chassis_control: `get NAME…` prints `NAME:VALUE`, `set NAME VALUE…` does it. */
function chassisScript(power: string, log: string): string {
  return `#!/bin/sh
verb=$1; shift
if [ "$verb" = get ]; then
  for name in "$@"; do
    case $name in power) echo "power:$(cat ${power})" ;; *) echo "$name:default" ;; esac
  done
  exit 0
fi
while [ $# -gt 1 ]; do
  echo "$1 $2" >> ${log}
  case $1 in power) echo "$2" > ${power} ;; shutdown) echo 0 > ${power} ;; esac
  shift 2
done
`;
}
