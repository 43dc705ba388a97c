import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { ModelFiles } from './load.js';

const sampleBytes = 1 << 20;

/**
 * Short hash that tells models apart: config, names, types, shapes and places of all tensors, sizes of the files, and the first and last MiB of each.
 * Cheap: it does not read the weights.
 */
export async function modelFingerprint({ config, weights }: ModelFiles): Promise<string> {
  const hash = createHash('sha256');
  hash.update(JSON.stringify(config));
  for (const [name, { dtype, shape, byteOffset }] of [...weights.tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name} ${dtype} ${shape.join('x')} ${byteOffset}\n`);
  }
  for (const { path, size } of weights.files) {
    hash.update(`${size}\n`);
    const file = await open(path);
    try {
      for (const at of [0, Math.max(0, size - sampleBytes)]) {
        const bytes = new Uint8Array(Math.min(sampleBytes, size));
        const { bytesRead } = await file.read(bytes, 0, bytes.length, at);
        hash.update(bytes.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  }
  return hash.digest('hex').slice(0, 32);
}
