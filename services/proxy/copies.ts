/** As large as one read of a socket. */
const copyBytes = 64 * 1024;
/** Below this a plain copy is cheaper. */
const worthwhileBytes = 8 * 1024;
const maxKept = 128;
const kept: Buffer[] = [];

/**
 * Writes a copy of a chunk that is valid during this call only. Large copies live in memory that is used again when
 * the write is done: new memory for each costs more, in page faults, than the copying.
 * @param write what `stream.write` does; it calls back when the bytes are gone.
 */
export function writeCopy(
  chunk: Buffer,
  write: (copy: Buffer, done: (error?: unknown) => void) => void,
): void {
  if (chunk.length < worthwhileBytes || chunk.length > copyBytes) {
    write(Buffer.from(chunk), () => undefined);
    return;
  }
  const memory = kept.pop() ?? Buffer.allocUnsafeSlow(copyBytes);
  chunk.copy(memory);
  write(memory.subarray(0, chunk.length), (error) => {
    // A write that failed may still be looked at by the kernel.
    if (!error && kept.length < maxKept) kept.push(memory);
  });
}
