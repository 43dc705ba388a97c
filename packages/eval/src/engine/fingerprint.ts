import { createHash } from 'node:crypto';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

const wholeBytes = 64 * 2 ** 20;
const sampleBytes = 2 ** 16;
const sampleCount = 256;

/**
 * Hash of a file, or of all files of a folder with their names: 16 hex digits. Files up to 64 MiB are read whole, of larger ones 256 evenly spaced
 * blocks of 64 KiB, the first and the last among them, so that the time does not grow with the model.
 */
export async function fingerprint(path: string, wanted: (name: string) => boolean = () => true): Promise<string> {
  const hash = createHash('sha256');
  const facts = await stat(path);
  const names = facts.isDirectory() ? (await readdir(path)).filter(wanted).sort() : [''];
  for (const name of names) {
    const file = name === '' ? path : join(path, name);
    const { size, mode } = await stat(file);
    if ((mode & 0o170000) !== 0o100000) continue;
    hash.update(`${basename(file)} ${size}\n`);
    const handle = await open(file);
    try {
      for await (const block of blocks(handle, size)) hash.update(block);
    } finally {
      await handle.close();
    }
  }
  return hash.digest('hex').slice(0, 16);
}

async function* blocks(handle: FileHandle, size: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(sampleBytes);
  const step = size <= wholeBytes ? sampleBytes : (size - sampleBytes) / (sampleCount - 1);
  for (let at = 0; at < size; at += step) {
    const { bytesRead } = await handle.read(buffer, 0, sampleBytes, Math.floor(at));
    yield buffer.subarray(0, bytesRead);
  }
}
