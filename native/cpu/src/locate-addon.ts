import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { KvsiftError } from '@kvsift/tensor';
import type { Addon } from './addon-types.js';

const file = 'kvsift-cpu.node';

/** "linux-x64-gnu", "darwin-arm64", ... */
export function platformName(): string {
  const { platform, arch } = process;
  if (platform !== 'linux') return `${platform}-${arch}`;
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return `${platform}-${arch}-${header?.glibcVersionRuntime === undefined ? 'musl' : 'gnu'}`;
}

/** Where the native part may be, best first: the prebuilt package of this platform, then a build in this package. */
export function addonPlaces(platform: string): string[] {
  return [
    `@kvsift/backend-cpu-${platform}/${file}`,
    fileURLToPath(new URL(`../build/Release/${file}`, import.meta.url)),
    fileURLToPath(new URL(`../build/Debug/${file}`, import.meta.url)),
  ];
}

/**
 * Loads the native part.
 * @param path a `kvsift-cpu.node` to load instead of those looked for
 * @throws KvsiftError `backend_unavailable`, which names every place that was tried and what to run
 */
export function loadAddon(path?: string): Addon {
  const require = createRequire(import.meta.url);
  const platform = platformName();
  const tried: string[] = [];
  for (const place of path === undefined ? addonPlaces(platform) : [path]) {
    try {
      return require(place) as Addon;
    } catch (error) {
      const [reason = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
      tried.push(`  ${place}: ${reason}`);
    }
  }
  throw new KvsiftError(
    'backend_unavailable',
    [
      `The native part of @kvsift/backend-cpu for ${platform} could not be loaded. Tried:`,
      ...tried,
      'To get it, run one of:',
      `  npm install --include=optional @kvsift/backend-cpu   (prebuilt, where @kvsift/backend-cpu-${platform} exists)`,
      '  npm run build -w native/cpu   (in a clone of the repository; needs CMake and a C++20 compiler)',
    ].join('\n'),
    { platform, tried },
  );
}
