import type { RedfishMethod } from '../../../../libs/events/mod.ts';
import { DriverError, type DriverFailureKind, type PowerDriver } from '../driver.ts';
import type { RedfishLimits } from '../redfish.ts';
import { createDriver } from '../registry.ts';
import {
  type Certificate,
  createCertificate,
  createFakeBmc,
  type FakeBmc,
  password,
  reply,
  type Script,
  username,
} from './fakeBmc.ts';

/** What the tests of a driver need around it: BMCs, drivers, and their end. */

export interface DriverOptions {
  readonly method?: Omit<Partial<RedfishMethod>, 'tls'>;
  /** Without it, the certificate of the BMCs is pinned; undefined: left out of the config. */
  readonly tls?: RedfishMethod['tls'] | undefined;
  readonly limits?: Partial<RedfishLimits>;
  readonly resolveSecret?: (reference: string) => Promise<string> | string;
  readonly now?: () => number;
}

export interface Bench {
  readonly certificate: () => Certificate;
  createBmc(create?: (certificate: Certificate) => Promise<FakeBmc>): Promise<FakeBmc>;
  createDriver(bmc: { readonly url: string }, options?: DriverOptions): PowerDriver;
  /** For beforeAll and afterEach. */
  open(): Promise<void>;
  clear(): Promise<void>;
}

export const never = new AbortController().signal;

export function createBench(): Bench {
  const bmcs: FakeBmc[] = [];
  const drivers: PowerDriver[] = [];
  let certificate: Certificate = { key: '', cert: '', fingerprint256: '' };

  return {
    certificate: () => certificate,
    async createBmc(create = createFakeBmc) {
      const bmc = await create(certificate);
      bmcs.push(bmc);
      return bmc;
    },
    createDriver(bmc, options = {}) {
      const pinned = { fingerprint256: certificate.fingerprint256 };
      const tls = 'tls' in options ? options.tls : pinned;
      const method: RedfishMethod = {
        driver: 'redfish',
        url: bmc.url,
        username,
        password: 'env:BMC_PASSWORD',
        requestTimeoutMs: 5_000,
        taskTimeoutMs: 5_000,
        tries: 3,
        confirmTimeoutMs: 60_000,
        allowForceOff: false,
        gracefulOffTimeoutMs: 180_000,
        ...options.method,
        ...(tls === undefined ? {} : { tls }),
      };
      const driver = createDriver('web-1', method, {
        resolveSecret: options.resolveSecret ?? (() => password),
        now: options.now ?? Date.now,
        ask: async () => undefined,
        limits: { taskPollMs: 5, ...options.limits },
      });
      drivers.push(driver);
      return driver;
    },
    async open() {
      certificate = await createCertificate();
    },
    async clear() {
      await Promise.all(drivers.splice(0).map((driver) => driver.close()));
      await Promise.all(bmcs.splice(0).map((bmc) => bmc.close()));
    },
  };
}

export const answers =
  (status: number, body?: unknown, headers: Record<string, string> = {}): Script =>
  (_, response) =>
    reply(response, status, body, headers);

/** Never answers. */
export const hang: Script = () => {};

/** Drops the connection in place of an answer. */
export const cut: Script = (_, response) => {
  response.socket?.destroy();
};

/** The DriverError that a call rejects with; anything else fails the test. */
export async function failureOf(call: Promise<unknown>): Promise<DriverError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof DriverError) return error;
    throw error;
  }
  throw new Error('it succeeded');
}

export async function kindOf(call: Promise<unknown>): Promise<DriverFailureKind> {
  return (await failureOf(call)).kind;
}
