import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const folder = fileURLToPath(new URL('../kernels/src/kernels/', import.meta.url));

/** Name, parameters and body of each kernel. */
const kernels = readdirSync(folder).flatMap((file) =>
  readFileSync(`${folder}${file}`, 'utf8')
    .split('__global__')
    .slice(1)
    .map((text) => {
      const [, name = '', parameters = ''] = /__launch_bounds__\([^)]*\)\s+(\w+)\(([^{]*)\)\s*\{/.exec(text) ?? [];
      return { name, parameters, early: text.includes('await_previous()') };
    }),
);

describe('kernels that start before their turn', () => {
  it('are found', () => {
    expect(kernels.map(({ name }) => name)).not.toContain('');
    expect(kernels.filter(({ early }) => early).length).toBeGreaterThan(20);
  });

  // What is constant and restricted nvcc reads as never written while the kernel lives (ld.global.nc); these live while the kernels before them still write.
  it.each(kernels.filter(({ early }) => early))('$name does not take what it reads for constant', ({ parameters }) => {
    expect(parameters.split(',').filter((one) => /\b(const|Bytes)\b.*__restrict__/s.test(one))).toEqual([]);
  });
});
