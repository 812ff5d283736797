import { lookup as lookupOf } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/**
 * Where no service of ours may be sent by a configuration (server-side request forgery): the link-local addresses, at
 * which clouds answer with credentials (169.254.169.254) and nothing is routed; their kin elsewhere; broadcast and
 * multicast. Loopback and private networks are where servers and BMCs are. `NEMURI_ALLOW_ADDRESSES` excepts some, such
 * as the host interface of a BMC (DSP0270): it is the environment's, since who writes a configuration must not.
 */
const refusedNetworks: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  // The metadata of Alibaba Cloud and of Oracle Cloud.
  ['100.100.100.200', 32],
  ['192.0.0.192', 32],
  ['224.0.0.0', 4],
  ['255.255.255.255', 32],
  ['::', 128],
  ['fe80::', 10],
  ['ff00::', 8],
  // The metadata of AWS and of Google Cloud.
  ['fd00:ec2::254', 128],
  ['fd20:ce::254', 128],
];

/** The address that a name or a URL stands for is one of those. */
export class AddressRefusedError extends Error {
  readonly code = 'NEMURI_ADDRESS_REFUSED';
  constructor(host: string, address: string) {
    const of = host === address ? '' : ` of ${host}`;
    super(`${address}${of} is no address that may be asked; NEMURI_ALLOW_ADDRESSES excepts it`);
    this.name = 'AddressRefusedError';
  }
}

export interface AddressGuard {
  /** For `net.connect` and the like in the place of the system's: what a name stands for is looked at each time. */
  readonly lookup: LookupFunction;
  /** Why an address that is written out is refused; undefined: it is not, or is a name. */
  refusalOf(host: string): AddressRefusedError | undefined;
  /** Options for a connection to this host, last among its options: they make it fail where it must not go. */
  target(host: string): { readonly lookup: LookupFunction; readonly host?: string };
}

/**
 * @param allowed addresses and networks parted by commas, such as `169.254.1.1, fe80::/64`.
 * @throws Error naming the variable, the rule and the value.
 */
export function createAddressGuard(allowed = ''): AddressGuard {
  const refused = new BlockList();
  for (const [network, bits] of refusedNetworks) refused.addSubnet(network, bits, familyOf(network));
  const excepted = listOf(allowed);
  const isRefused = (address: string) =>
    refused.check(address, familyOf(address)) && !excepted.check(address, familyOf(address));

  const lookup: LookupFunction = (host, options, callback) => {
    lookupOf(host, options, (error, found, family) => {
      if (error) return callback(error, found, family);
      const all = typeof found === 'string' ? [found] : found.map(({ address }) => address);
      const wrong = all.find(isRefused);
      if (wrong === undefined) callback(null, found, family);
      else callback(new AddressRefusedError(host, wrong), [], 0);
    });
  };
  const refusalOf = (host: string) => {
    const address = host.replace(/^\[|\]$/g, '');
    return isIP(address) && isRefused(address) ? new AddressRefusedError(address, address) : undefined;
  };
  return {
    lookup,
    refusalOf,
    target(host) {
      const refusal = refusalOf(host);
      if (!refusal) return { lookup };
      // An address is not looked up; a name is, and this one fails then, as a connection does.
      return {
        host: 'refused.invalid',
        lookup: (_host, _options, callback) => process.nextTick(callback, refusal, [], 0),
      };
    },
  };
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}

function listOf(allowed: string): BlockList {
  const list = new BlockList();
  for (const entry of allowed.split(',').map((part) => part.trim())) {
    if (entry === '') continue;
    const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
    const family = familyOf(address);
    const most = family === 'ipv4' ? 32 : 128;
    if (!isIP(address) || Number(bits ?? most) > most)
      throw new Error(`NEMURI_ALLOW_ADDRESSES must be addresses and networks (got "${entry}")`);
    list.addSubnet(address, Number(bits ?? most), family);
  }
  return list;
}

/** The guard of this process. */
export const addressGuard = createAddressGuard(process.env.NEMURI_ALLOW_ADDRESSES);
