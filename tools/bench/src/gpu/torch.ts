import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ModelSize } from './shape.js';

/** PyTorch with transformers (and kvpress, where it is installed) on the same shape and lengths: its JSON lines, or one line that says why there are none. */
export function runTorch(size: ModelSize, lengths: readonly number[], steps: number): string[] {
  const script = fileURLToPath(new URL('../python/gpu_peer.py', import.meta.url));
  const python = process.env.KVSIFT_PYTHON ?? 'python3';
  const { status, stdout, stderr, error } = spawnSync(python, [script, JSON.stringify({ ...size, lengths, steps })], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const lines = (stdout ?? '').split('\n').filter((line) => line !== '');
  if (status === 0) return lines;
  const reason = error?.message ?? (stderr ?? '').trim().split('\n').at(-1) ?? `exit code ${status}`;
  return [...lines, `no comparison with PyTorch: ${reason}`];
}
