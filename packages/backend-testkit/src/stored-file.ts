import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { byteLength, type DType, type Shape, type StoredTensor } from '@kvsift/tensor';
import { hostData } from './inputs.js';

/** Writes tensors into one file and calls `use` with where they lie. */
export async function withFile(
  parts: readonly (readonly [dtype: DType, shape: Shape])[],
  use: (stored: StoredTensor[]) => Promise<void>,
) {
  const folder = await mkdtemp(join(tmpdir(), 'kvsift-testkit-'));
  try {
    const path = join(folder, 'weights.bin');
    // An odd gap in front: tensors in a file need not be aligned.
    const chunks: Uint8Array[] = [Buffer.alloc(3, 255)];
    const stored: StoredTensor[] = [];
    let at = 3;
    for (const [index, [dtype, shape]] of parts.entries()) {
      const data = hostData(100 + index, dtype, shape);
      const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      stored.push({ name: `part${index}`, dtype, shape, path, byteOffset: at, byteLength: byteLength(dtype, shape) });
      chunks.push(bytes);
      at += bytes.length;
    }
    await writeFile(path, Buffer.concat(chunks));
    await use(stored);
  } finally {
    await rm(folder, { recursive: true });
  }
}
