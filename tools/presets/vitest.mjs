import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** Folders whose children are workspace packages. */
const groups = ['packages', 'native', 'apps', 'tools'];

/** Maps each workspace package name to its TypeScript entry, so that tests run from source without a build. */
export function sourceAliases(root) {
  return groups.flatMap((group) => {
    const folder = join(root, group);
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const manifest = join(folder, entry.name, 'package.json');
      const source = join(folder, entry.name, 'src/index.ts');
      if (!existsSync(manifest) || !existsSync(source)) return [];
      const { name } = JSON.parse(readFileSync(manifest, 'utf8'));
      return [{ find: new RegExp(`^${name}$`), replacement: source }];
    });
  });
}

/**
 * Test settings of the workspace.
 * @param {string} root absolute path of the workspace
 * @param {{ slow?: boolean }} [options] `slow` runs `*.slow.test.ts` instead of the fast tests
 */
export const workspaceTests = (root, { slow = false } = {}) =>
  defineConfig({
    root,
    resolve: { alias: sourceAliases(root) },
    test: {
      include: [
        slow ? '{packages,native,apps,tools}/*/src/**/*.slow.test.ts' : '{packages,native,apps,tools}/*/src/**/*.test.ts',
      ],
      exclude: ['**/node_modules/**', '**/dist/**', ...(slow ? [] : ['**/*.slow.test.ts'])],
      pool: 'forks',
      maxWorkers: 2,
      testTimeout: slow ? 600_000 : 60_000,
      hookTimeout: slow ? 600_000 : 60_000,
      typecheck: { enabled: false },
    },
  });
