import { AddonBackend, addonError, SplitBackend } from '@kvsift/native-addon';
import { type Backend, KvsiftError } from '@kvsift/tensor';
import { loadAddon } from './locate-addon.js';

/** On which GPUs `createCudaBackend` computes, and how. */
export interface CudaBackendOptions {
  /** Number of the GPU among those that the process may use (CUDA_VISIBLE_DEVICES). Default 0. */
  readonly device?: number;
  /**
   * Several GPUs instead: the layers of a model are spread over them in this order, by the memory that each has free. A number that comes twice makes two
   * logical devices of one GPU.
   */
  readonly devices?: readonly number[];
  /** Most bytes that tensors may hold on each device; more fails with `out_of_memory`. Default: what the device has. */
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
 * A backend on one NVIDIA GPU, or on several that share the layers of a model. Ops are enqueued on a CUDA stream by a thread of the addon, waiting is done in another one; the JavaScript thread only checks
 * and enqueues. Opening the device takes the driver a fraction of a second and is done at once.
 * @throws KvsiftError `backend_unavailable` where the native part, the driver or a GPU that can run it is missing (the text says which, and what to do),
 * `invalid_argument` for other options
 */
export function createCudaBackend(options: CudaBackendOptions = {}): Backend {
  const { device, devices, memoryLimit = 0, compute = 'bf16', cublas = true, emulated = false } = options;
  if (device !== undefined && devices !== undefined) throw invalid('device and devices exclude each other');
  if (devices?.length === 0) throw invalid('devices must name at least one GPU');
  const { Backend: Native } = loadAddon(emulated, options.addon);
  const info = {
    name: 'cuda',
    threads: 1,
    compute,
    wholeProducts: true,
    passBytes: 2 ** 26,
    ...(!emulated && { chunk }),
  } as const;
  const parts: { readonly backend: AddonBackend; readonly description: string; readonly memoryBytes: number }[] = [];
  try {
    const numbers = devices ?? [device ?? 0];
    for (const number of numbers) {
      const native = new Native(addonError, number, memoryLimit, cublas, compute);
      const { description, freeBytes } = native.describe();
      // Logical devices of one GPU share what it has.
      const own = freeBytes / numbers.filter((other) => other === number).length;
      const memoryBytes = memoryLimit === 0 ? own : Math.min(memoryLimit, own);
      parts.push({ backend: new AddonBackend(native, { ...info, description, memoryBytes }), description, memoryBytes });
    }
  } catch (error) {
    for (const { backend } of parts) void backend.dispose();
    throw error;
  }
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first.backend;
  return SplitBackend.over(
    parts.map(({ backend }) => backend),
    parts.map(({ memoryBytes }) => memoryBytes),
    {
      ...info,
      memoryBytes: parts.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
      description: parts.map(({ description }) => description).join(' + '),
    },
  );
}

function invalid(text: string): KvsiftError {
  return new KvsiftError('invalid_argument', `createCudaBackend: ${text}`);
}
