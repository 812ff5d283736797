/** The part of net-snmp 3.29 that Nemuri uses; it brings no types. */
declare module 'net-snmp' {
  import type { EventEmitter } from 'node:events';

  export interface Varbind {
    readonly oid: string;
    readonly type: number;
    readonly value: unknown;
  }

  export interface User {
    readonly name: string;
    readonly level: number;
    readonly authProtocol?: number;
    readonly authKey?: string;
    readonly privProtocol?: number;
    readonly privKey?: string;
  }

  export interface SessionOptions {
    readonly port: number;
    readonly version?: number;
    readonly retries: number;
    readonly timeout: number;
    readonly reportOidMismatchErrors: boolean;
  }

  type Respond = (error: Error | null, varbinds?: readonly Varbind[]) => void;

  /** Emits `error` for a datagram that is no SNMP message. */
  export class Session extends EventEmitter {
    get(oids: readonly string[], respond: Respond): void;
    set(varbinds: readonly Varbind[], respond: Respond): void;
    close(): void;
  }

  export class RequestTimedOutError extends Error {}
  export class RequestFailedError extends Error {
    readonly status: number;
  }
  export class ResponseInvalidError extends Error {
    readonly code: number;
  }

  export interface Agent {
    readonly listener: {
      readonly sockets: Readonly<Record<string, { address(): { port: number } | undefined }>>;
    };
    getMib(): {
      registerProvider(provider: object): void;
      setScalarValue(name: string, value: number): void;
      getScalarValue(name: string): number;
    };
    getAuthorizer(): {
      addCommunity(community: string): void;
      addUser(user: User): void;
      getAccessControlModel(): {
        setCommunityAccess(community: string, level: number): void;
        setUserAccess(user: string, level: number): void;
      };
    };
    close(done?: () => void): void;
  }

  interface NetSnmp {
    createSession(host: string, community: string, options: SessionOptions): Session;
    createV3Session(host: string, user: User, options: SessionOptions): Session;
    createAgent(options: object, onMessage: (error: Error | null) => void): Agent;
    isVarbindError(varbind: Varbind): boolean;
    readonly RequestTimedOutError: typeof RequestTimedOutError;
    readonly RequestFailedError: typeof RequestFailedError;
    readonly ResponseInvalidError: typeof ResponseInvalidError;
    readonly Version2c: number;
    readonly ObjectType: Readonly<Record<string, number>>;
    readonly MibProviderType: Readonly<Record<string, number>>;
    readonly MaxAccess: Readonly<Record<string, number>>;
    readonly AccessControlModelType: Readonly<Record<string, number>>;
    readonly AccessLevel: Readonly<Record<string, number>>;
    readonly SecurityLevel: {
      readonly noAuthNoPriv: number;
      readonly authNoPriv: number;
      readonly authPriv: number;
    };
    readonly AuthProtocols: Readonly<Record<string, number>>;
    readonly PrivProtocols: Readonly<Record<string, number>>;
    readonly ErrorStatus: Readonly<Record<string, number>>;
    readonly ResponseInvalidCode: Readonly<Record<string, number>>;
  }
  const snmp: NetSnmp;
  export default snmp;
}
