import snmp, { type Agent } from 'net-snmp';
import { freeUdpPort, secretText } from './peers.ts';

/** A PDU by net-snmp's agent: one outlet (1 on, 2 off) and its watts in tenths. */
export interface SnmpPdu {
  readonly port: number;
  outlet: number;
  tenthsOfWatts: number;
  close(): Promise<void>;
}

export const outletOid = '1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.0';
export const wattsOid = '1.3.6.1.4.1.318.1.1.26.9.4.3.1.7.0';
export const readOnlyCommunity = 'look-but-dont-touch';
export const snmpUser = 'nemuri';

export async function startSnmpPdu(): Promise<SnmpPdu> {
  const port = await freeUdpPort();
  const options = { port, address: '127.0.0.1', accessControlModelType: snmp.AccessControlModelType.Simple };
  // Told of each message that it refuses; it lives on.
  const agent: Agent = snmp.createAgent(options, () => {});
  const scalar = (name: string, oid: string, access: string, defVal: number) =>
    agent.getMib().registerProvider({
      name,
      type: snmp.MibProviderType.Scalar,
      oid: oid.replace(/\.0$/, ''),
      scalarType: snmp.ObjectType.Integer,
      maxAccess: snmp.MaxAccess[access],
      defVal,
    });
  scalar('outlet', outletOid, 'read-write', 2);
  scalar('watts', wattsOid, 'read-only', 0);
  agent.getMib().setScalarValue('outlet', 2);
  agent.getMib().setScalarValue('watts', 0);
  const authorizer = agent.getAuthorizer();
  authorizer.addCommunity(secretText);
  authorizer.addCommunity(readOnlyCommunity);
  authorizer.addUser({
    name: snmpUser,
    level: snmp.SecurityLevel.authPriv,
    authProtocol: snmp.AuthProtocols.sha256 ?? 0,
    authKey: secretText,
    privProtocol: snmp.PrivProtocols.aes ?? 0,
    privKey: secretText,
  });
  const access = authorizer.getAccessControlModel();
  const { ReadWrite = 2, ReadOnly = 1 } = snmp.AccessLevel;
  access.setCommunityAccess(secretText, ReadWrite);
  access.setCommunityAccess(readOnlyCommunity, ReadOnly);
  access.setUserAccess(snmpUser, ReadWrite);
  const get = (name: string) => agent.getMib().getScalarValue(name);
  return {
    port,
    get outlet() {
      return get('outlet');
    },
    set outlet(value) {
      agent.getMib().setScalarValue('outlet', value);
    },
    get tenthsOfWatts() {
      return get('watts');
    },
    set tenthsOfWatts(value) {
      agent.getMib().setScalarValue('watts', value);
    },
    close: () => new Promise((resolve) => agent.close(() => resolve())),
  };
}
