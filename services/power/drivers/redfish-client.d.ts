/**
 * The part of redfish-client 0.5.4 that Nemuri uses. Its own type files name their neighbours without an
 * extension, which NodeNext does not resolve: every inherited member would be missing.
 */
declare module 'redfish-client' {
  import type { Logger } from 'pino';

  export interface SystemInfo {
    readonly [property: string]: unknown;
  }

  export class iDRACRedfishClient {
    constructor(host: string, username: string, password: string, logger?: Logger);
    protected readonly baseUrl: string;
    /** The only door to the network: every other method goes through it. */
    protected customFetch<T>(
      url: string,
      options?: RequestInit,
      withSessionToken?: boolean,
    ): Promise<{ data: T; headers: Headers }>;
    getRedfishSessionUri(): Promise<string>;
    getSessionToken(): Promise<string>;
    closeSession(): Promise<void>;
    /** The last path segments of the members of /redfish/v1/Systems; a plain Error when there are none. */
    getAvailableSystemIds(): Promise<string[]>;
    /** From its cache, unless `refresh`. */
    getSystemInfo(systemId?: string, refresh?: boolean): Promise<SystemInfo>;
    /** These three send to the target that getSystemInfo read last. */
    powerOnSystem(systemId?: string): Promise<boolean>;
    shutdownSystem(systemId?: string): Promise<boolean>;
    forceOffSystem(systemId?: string): Promise<boolean>;
  }
}
