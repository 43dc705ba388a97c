import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Setting } from './setting.js';

/** What each group of kernels should reach of the limit that binds it. */
const goals: readonly (readonly [prefix: string, goal: number])[] = [
  ['linear ', 0.6],
  ['attention decode', 0.7],
  ['attention ', 0.5],
  ['decode ', 0.7],
  ['step ', 0.7],
];

/** In the fast mode, one sequence: what a user runs. */
const kernels = ['fast 3072x576 m512', 'fast 8192x2048 m512', 'fast 3072x576 m1', 'fast 8192x2048 m1', 'f16 n4096', 'linear m1'];

const line = z.object({ name: z.string(), rate: z.number(), unit: z.string(), share: z.number() });
const limits = z.object({
  name: z.literal('machine'),
  isa: z.string(),
  f32_gflops: z.number(),
  bf16_gflops: z.number(),
  int8_gops: z.number(),
  l2_gbytes: z.number(),
  l3_gbytes: z.number(),
  memory_gbytes: z.number(),
});

/** Share of the machine's limits that kernels reach; the limits are measured in the same run by the kernel benchmark. */
export function machine({ printer, cache }: Setting): void {
  const build = join(cache, 'kernels');
  const source = fileURLToPath(new URL('../../../native/cpu/kernels', import.meta.url));
  const run = (command: string, args: readonly string[]) => execFileSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  run('cmake', ['-S', source, '-B', build, '-DCMAKE_BUILD_TYPE=Release']);
  run('cmake', ['--build', build, '--parallel', '2', '--target', 'kvsift_kernel_bench']);
  for (const text of run(join(build, 'kvsift_kernel_bench'), ['--threads', '2', ...kernels])
    .trim()
    .split('\n')) {
    const found = limits.safeParse(JSON.parse(text));
    if (found.success) {
      const { isa, f32_gflops, bf16_gflops, int8_gops, l2_gbytes, l3_gbytes, memory_gbytes } = found.data;
      printer.note(
        `Limits of the machine in the same run (${isa}): f32 ${f32_gflops} GFLOP/s, bf16 dots ${bf16_gflops} GFLOP/s, byte dots ${int8_gops} GOP/s; read L2 ${l2_gbytes}, L3 ${l3_gbytes}, memory ${memory_gbytes} GB/s.`,
      );
      continue;
    }
    const parsed = line.safeParse(JSON.parse(text));
    if (!parsed.success) continue;
    const { name, rate, unit, share } = parsed.data;
    const goal = goals.find(([prefix]) => name.startsWith(prefix))?.[1];
    if (goal === undefined || name.startsWith('columns')) continue;
    printer.row({ name: `share of the limit: ${name} (${unit})`, ours: rate, peer: rate / share, ratio: share, goal, spread: 0 });
  }
}
