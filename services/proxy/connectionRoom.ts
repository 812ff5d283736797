/** For the bus, logs, certificates, telemetry and the admin address. */
const otherFiles = 100;

/**
 * As many clients as there are files for, each of them with a connection to a server too: a proxy that can't open one
 * would take every server for dead.
 * @param openFiles what this process may have open at once; undefined: not known.
 * @param ports on which clients connect; each has its own count.
 * @returns `maxConnections`, or what of it there is room for; 1 at the least.
 */
export function connectionRoom(maxConnections: number, openFiles: number | undefined, ports: number): number {
  if (openFiles === undefined) return maxConnections;
  return Math.max(1, Math.min(maxConnections, Math.floor((openFiles - otherFiles) / (2 * ports))));
}
