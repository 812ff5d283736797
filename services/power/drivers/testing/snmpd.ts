import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { endProcess } from '../../../../libs/runtime/supervisor.ts';
import { findProgram, freeUdpPort, secretText } from './peers.ts';
import { snmpUser } from './snmpAgent.ts';

/** A PDU by Net-SNMP's agent, its one outlet a file. */
export interface SnmpdPdu {
  readonly port: number;
  readonly outletOid: string;
  stop(): Promise<void>;
}

const tableOid = '.1.3.6.1.4.1.318.1.1.12.3.3.1.1.4';

export async function startSnmpdPdu(folder: string): Promise<SnmpdPdu> {
  const port = await freeUdpPort();
  const outletOid = `${tableOid}.7`;
  const [outlet, state, config] = ['outlet', 'state', 'snmpd.conf'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(join(folder, 'persistent'));
  await writeFile(state, '2\n');
  // snmpd.conf(5), pass: -g OID prints OID, type and value; -s OID TYPE VALUE does it.
  await writeFile(
    outlet,
    `[ "$2" = ${outletOid} ] || exit 0
case $1 in
-s) echo "$4" > ${state} ;;
-g) echo ${outletOid}; echo integer; cat ${state} ;;
esac
`,
  );
  await writeFile(
    config,
    `agentAddress udp:127.0.0.1:${port}
createUser ${snmpUser} SHA-256 ${secretText} AES ${secretText}
rwuser ${snmpUser} priv
rwcommunity ${secretText}
pass ${tableOid} /bin/sh ${outlet}
`,
  );
  const child = spawn(findProgram('snmpd') ?? 'snmpd', ['-f', '-Lo', '-C', '-c', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, SNMP_PERSISTENT_DIR: join(folder, 'persistent') },
  });
  await once(child, 'spawn');
  const listening = new Promise<void>((resolve, reject) => {
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        said += chunk;
        if (said.includes('NET-SNMP version')) resolve();
      });
    }
    child.once('exit', () => reject(new Error(`snmpd ended: ${said}`)));
  });
  await listening;
  return { port, outletOid, stop: () => endProcess(child, 2_000) };
}
