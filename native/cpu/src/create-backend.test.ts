import { expect, it } from 'vitest';
import { createCpuBackend } from './index.js';

it('describes its kernels alike for any number of threads: workers of one evaluation compare them', async () => {
  const described = [];
  for (const threads of [1, 2]) {
    await using backend = createCpuBackend({ threads });
    described.push([backend.info.description, backend.info.threads]);
  }
  const [[kernels] = []] = described;
  expect(described).toEqual([
    [kernels, 1],
    [kernels, 2],
  ]);
});

it('names the instruction sets where one is asked for that there is not', () => {
  expect(() => createCpuBackend({ isa: 'avx1024' as 'avx512' })).toThrow(/isa must be one of portable, avx2, .*neon-i8mm/);
});
