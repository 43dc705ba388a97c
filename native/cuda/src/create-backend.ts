import { AddonBackend, addonError } from '@kvsift/native-addon';
import type { Backend } from '@kvsift/tensor';
import { loadAddon } from './locate-addon.js';

export interface CudaBackendOptions {
  /** Number of the GPU among those that the process may use (CUDA_VISIBLE_DEVICES). Default 0. */
  readonly device?: number;
  /** Most bytes that tensors may hold; more fails with `out_of_memory`. Default: what the device has. */
  readonly memoryLimit?: number;
  /**
   * 'bf16' (default): products of many rows and attention over 16-bit caches on tensor cores. 'f32': exact values and float32 throughout, to compare with
   * other backends; reading a prompt is slow then.
   */
  readonly compute?: 'bf16' | 'f32';
  /** Products of many rows on cuBLASLt where it is found, else on a kernel of our own. Default true. */
  readonly cublas?: boolean;
  /**
   * For tests: the kernels run as written, and very slowly, on the host in the place of a GPU. Never chosen by itself. `memoryLimit` is then the memory of
   * the device (default 2 GiB).
   */
  readonly emulated?: boolean;
  /** Path of a `kvsift-cuda.node` to load instead of the one that is looked for (bundles that move files). */
  readonly addon?: string;
}

/** Rows that fill a GPU; a layer of an 8B model reads 2,048 of them at a time, whose activations take 0.6 GB. */
const chunk = { rows: 4096, work: 5e11 };

/**
 * A backend on one NVIDIA GPU. Ops are enqueued on a CUDA stream by a thread of the addon, waiting is done in another one; the JavaScript thread only checks
 * and enqueues. Opening the device takes the driver a fraction of a second and is done at once.
 * @throws KvsiftError `backend_unavailable` where the native part, the driver or a GPU that can run it is missing (the text says which, and what to do),
 * `invalid_argument` for other options
 */
export function createCudaBackend(options: CudaBackendOptions = {}): Backend {
  const { device = 0, memoryLimit = 0, compute = 'bf16', cublas = true, emulated = false } = options;
  const { Backend: Native } = loadAddon(emulated, options.addon);
  const native = new Native(addonError, device, memoryLimit, cublas, compute);
  const { description } = native.describe();
  return new AddonBackend(native, { name: 'cuda', description, threads: 1, compute, ...(!emulated && { chunk }) });
}
