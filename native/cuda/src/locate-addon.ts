import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ErrorFactory, loadAddon as load, type NativeBackend, platformName } from '@kvsift/native-addon';

/** The typed picture of `kvsift-cuda.node`. */
interface Addon {
  readonly Backend: new (
    createError: ErrorFactory,
    device: number,
    memoryLimit: number,
    cublas: boolean,
    compute: string,
  ) => NativeBackend & { describe(): { readonly description: string; readonly freeBytes: number } };
}

/** The program that compiles the kernels, where this is part of a bundle (`npm run bundle:gpu`): there is no network then, and no repository. */
const bundled = fileURLToPath(new URL('../gpu-check', import.meta.url));

const built = (folder: string, file: string) => fileURLToPath(new URL(`../build/${folder}/Release/${file}`, import.meta.url));

/** Where the native part may be, best first: the prebuilt package of this platform, then a build in this package. */
function addonPlaces(platform: string): string[] {
  return [`@kvsift/backend-cuda-${platform}/kvsift-cuda.node`, built('gpu', 'kvsift-cuda.node')];
}

/**
 * Loads the native part; that needs neither a driver nor a GPU.
 * @param emulated the one whose kernels run on the host
 * @param path a `kvsift-cuda.node` to load instead of those looked for
 * @throws KvsiftError `backend_unavailable`
 */
export function loadAddon(emulated: boolean, path?: string): Addon {
  const platform = platformName();
  const usual = emulated ? [built('host', 'kvsift-cuda-emulated.node')] : addonPlaces(platform);
  return load({
    package: '@kvsift/backend-cuda',
    from: import.meta.url,
    places: path === undefined ? usual : [path],
    remedies: emulated
      ? ['npm run build -w native/cuda   (in a clone of the repository; needs CMake and a C++20 compiler)']
      : existsSync(bundled)
        ? [`${bundled}   (compiles the kernels for the GPU of this machine)`]
        : [
            `npm install --include=optional @kvsift/backend-cuda   (prebuilt, where @kvsift/backend-cuda-${platform} exists)`,
            'npm run build:cuda   (in a clone of the repository; needs CMake, a C++20 compiler and the CUDA toolkit with nvcc)',
          ],
  });
}
