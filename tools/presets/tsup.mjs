import { defineConfig } from 'tsup';

/**
 * Build settings of a library package: ESM for Node 20, one file per entry. Declarations come from `tsc --build`.
 * @param {import('tsup').Options} [overrides]
 */
export const library = (overrides = {}) =>
  defineConfig({
    entry: ['src/index.ts'],
    format: ['esm'],
    target: 'node20',
    platform: 'node',
    sourcemap: false,
    splitting: true,
    clean: false,
    dts: false,
    silent: true,
    ...overrides,
  });
