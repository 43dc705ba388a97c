import { totalmem } from 'node:os';
import { AddonBackend, addonError } from '@kvsift/native-addon';
import type { Backend } from '@kvsift/tensor';
import { loadAddon } from './locate-addon.js';

/** Kernel paths, weakest first. */
export type Isa =
  | 'portable'
  | 'avx2'
  | 'avx2-vnni'
  | 'avx512'
  | 'avx512-vnni'
  | 'avx512-bf16'
  | 'avx512-amx'
  | 'neon'
  | 'neon-dotprod'
  | 'neon-i8mm';

/** How `createCpuBackend` computes; what is left out suits the machine. */
export interface CpuBackendOptions {
  /** Threads that compute. Default: the CPUs that this process may use (affinity and cgroup quota). */
  readonly threads?: number;
  /**
   * 'int8' (default): activations are quantised per block for integer dot products with block weights, bf16 dot products with others. 'f32': products
   * in float32 with the exact values of the weights.
   */
  readonly compute?: 'int8' | 'f32';
  /** Kernel path. 'auto' (default) is the strongest that the machine can run. */
  readonly isa?: Isa | 'auto';
  /** Most bytes that tensors may hold; more fails with `out_of_memory`. Default: the memory of the machine or of the container. */
  readonly memoryLimit?: number;
  /** Path of a `kvsift-cpu.node` to load instead of the one that is looked for (bundles that move files). */
  readonly addon?: string;
}

function memoryOfMachine(): number {
  const constrained = process.constrainedMemory?.() ?? 0;
  return constrained > 0 && constrained < totalmem() ? constrained : totalmem();
}

/** Kernel paths that this machine and this build can run, weakest first. @throws KvsiftError `backend_unavailable` */
export function supportedIsas(options: Pick<CpuBackendOptions, 'addon'> = {}): Isa[] {
  return loadAddon(options.addon).supportedIsas() as Isa[];
}

/**
 * A backend on the CPUs of this machine. Ops run in submission order on threads of their own; the JavaScript thread only checks and enqueues.
 * @throws KvsiftError `backend_unavailable` where the native part cannot be loaded, `unsupported` where the machine lacks the `isa`,
 * `invalid_argument` for other options
 */
export function createCpuBackend(options: CpuBackendOptions = {}): Backend {
  const { threads = 0, compute = 'int8', isa = 'auto', memoryLimit = memoryOfMachine() } = options;
  const addon = loadAddon(options.addon);
  const chosen = isa === 'auto' ? (addon.supportedIsas().at(-1) ?? 'portable') : isa;
  const native = new addon.Backend(addonError, threads, chosen, compute, memoryLimit);
  const description = native.describe();
  return new AddonBackend(native, {
    name: 'cpu',
    description: `${description.isa} kernels, ${compute}`,
    threads: description.threads,
    compute,
    memoryBytes: memoryLimit,
  });
}
