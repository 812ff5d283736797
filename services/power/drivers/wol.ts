import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { capabilitiesOf, type WolMethod } from '../../../libs/events/mod.ts';
import { type DriverDependencies, DriverError, type PowerDriver } from './driver.ts';
import { codeOf, createSecretKeeper } from './secretKeeper.ts';

const macRepeats = 16;
/** A kernel that does not take a datagram in this time takes none. */
const sendTimeoutMs = 5_000;

/**
 * The magic packet (AMD 20213): six bytes 0xff, the MAC sixteen times, and the SecureOn password when there is one.
 * @param mac six bytes in hex, parted by colons or hyphens.
 */
export function magicPacket(mac: string, secureOn: Buffer = Buffer.alloc(0)): Buffer {
  const address = Buffer.from(mac.replace(/[:-]/g, ''), 'hex');
  return Buffer.concat([Buffer.alloc(6, 0xff), ...Array<Buffer>(macRepeats).fill(address), secureOn]);
}

/** A SecureOn password: six bytes as a MAC is written, or four as an IPv4 address; undefined: neither. */
export function secureOnBytes(text: string): Buffer | undefined {
  if (/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(text)) return Buffer.from(text.replace(/[:-]/g, ''), 'hex');
  const parts = /^\d{1,3}(\.\d{1,3}){3}$/.test(text) ? text.split('.').map(Number) : [];
  return parts.length === 4 && parts.every((part) => part < 256) ? Buffer.from(parts) : undefined;
}

/**
 * Wakes one machine by its network cards. Nobody answers a magic packet: `wake` resolves when it is sent, several
 * times, to each card by each address. The ladder repeats it until the machine shows life.
 */
export function createWolDriver(
  serverName: string,
  method: WolMethod,
  deps: DriverDependencies,
): PowerDriver {
  const secrets = createSecretKeeper(serverName, deps.resolveSecret);

  async function password(): Promise<Buffer | undefined> {
    if (method.secureOn === undefined) return undefined;
    const bytes = secureOnBytes(await secrets.read(method.secureOn));
    if (bytes) return bytes;
    const rule = 'must be six bytes in hex parted by colons, or four in figures parted by dots';
    throw new DriverError('unauthorized', `${serverName}: the SecureOn password ${method.secureOn} ${rule}`);
  }

  /** Errors of one round; a card is woken by one packet of many. */
  async function sendRound(socket: Socket, packets: readonly Buffer[]): Promise<unknown[]> {
    const sends = packets.flatMap((packet) =>
      method.broadcasts.flatMap((address) => method.ports.map((port) => send(socket, packet, port, address))),
    );
    const results = await Promise.allSettled(sends);
    const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    return errors.length < sends.length ? [] : errors;
  }

  async function wake(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const secureOn = await password();
    const packets = method.macs.map((mac) => magicPacket(mac, secureOn));
    const socket = createSocket('udp4');
    const bound = AbortSignal.any([
      signal,
      AbortSignal.timeout(sendTimeoutMs + method.packets * method.packetIntervalMs),
    ]);
    try {
      // Bound to our address, even 255.255.255.255 leaves by that network.
      socket.bind(0, method.sourceAddress);
      await once(socket, 'listening', { signal: bound });
      socket.setBroadcast(true);
      for (let round = 0; round < method.packets; round += 1) {
        if (round > 0) await pause(method.packetIntervalMs, undefined, { signal: bound });
        const [error] = await sendRound(socket, packets);
        if (error !== undefined) throw error;
      }
    } catch (error) {
      signal.throwIfAborted();
      throw new DriverError('unreachable', `${serverName}: no magic packet could be sent (${codeOf(error)})`);
    } finally {
      socket.close();
    }
  }

  const unsupported = async (): Promise<never> => {
    throw new DriverError('unsupported', `${serverName}: Wake-on-LAN only wakes`);
  };
  return {
    name: 'wol',
    capabilities: capabilitiesOf(method),
    wake,
    sleep: unsupported,
    readPower: unsupported,
    meter: unsupported,
    close: async () => {},
  };
}

function send(socket: Socket, packet: Buffer, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) =>
    socket.send(packet, port, address, (error) => (error ? reject(error) : resolve())),
  );
}
