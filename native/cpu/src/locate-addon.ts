import { fileURLToPath } from 'node:url';
import { type ErrorFactory, loadAddon as load, type NativeBackend, platformName } from '@kvsift/native-addon';

const file = 'kvsift-cpu.node';

/** The typed picture of `kvsift-cpu.node`. */
interface Addon {
  readonly Backend: new (
    createError: ErrorFactory,
    threads: number,
    isa: string,
    compute: string,
    memoryLimit: number,
  ) => NativeBackend & { describe(): { readonly threads: number; readonly isa: string } };
  /** Instruction sets that this machine and this build can run, weakest first. */
  supportedIsas(): string[];
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
 * @throws KvsiftError `backend_unavailable`
 */
export function loadAddon(path?: string): Addon {
  const platform = platformName();
  return load({
    package: '@kvsift/backend-cpu',
    from: import.meta.url,
    places: path === undefined ? addonPlaces(platform) : [path],
    remedies: [
      `npm install --include=optional @kvsift/backend-cpu   (prebuilt, where @kvsift/backend-cpu-${platform} exists)`,
      'npm run build -w native/cpu   (in a clone of the repository; needs CMake and a C++20 compiler)',
    ],
  });
}
