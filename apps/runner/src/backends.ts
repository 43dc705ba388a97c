import { createReferenceBackend } from '@kvsift/backend-reference';
import { type Backend, KvsiftError } from '@kvsift/tensor';
import { Option } from 'commander';
import { whole } from './number-option.js';

export interface BackendChoice {
  readonly backend?: 'cpu' | 'reference' | 'cuda';
  readonly threads?: number;
  readonly compute?: 'int8' | 'f32';
  /** Of the CUDA backend: number of the GPU, or the host in its place. */
  readonly device?: number | 'emulated';
}

function deviceOf(text: string): number | 'emulated' {
  if (text === 'emulated') return text;
  if (/^\d+$/.test(text)) return Number(text);
  throw new KvsiftError('invalid_argument', `--device takes the number of a GPU (or "emulated" for tests), not "${text}"`);
}

/** The options that choose what computes. */
export const backendOptions = (): Option[] => [
  new Option('--backend <name>', 'what computes').choices(['cpu', 'cuda', 'reference']).default('cpu'),
  new Option('--threads <n>', 'threads of the CPU backend (default: the cores it may use)').argParser(whole(1)),
  new Option('--compute <mode>', 'int8: fast; f32: exact').choices(['int8', 'f32']).default('int8'),
  new Option(
    '--device <n>',
    'GPU of --backend cuda (default: 0); "emulated" runs its kernels on the host, very slowly, for tests',
  ).argParser(deviceOf),
];

/** @throws KvsiftError `backend_unavailable` with what is missing and what to do */
export async function createBackend({ backend = 'cpu', threads, compute, device }: BackendChoice): Promise<Backend> {
  if (backend === 'reference') return createReferenceBackend();
  if (backend === 'cuda') return createCuda(device, compute === 'f32' ? 'f32' : 'bf16');
  const { createCpuBackend } = await import('@kvsift/backend-cpu');
  return createCpuBackend({ ...(threads !== undefined && { threads }), ...(compute && { compute }) });
}

async function createCuda(device: BackendChoice['device'], compute: 'f32' | 'bf16'): Promise<Backend> {
  // Named in a variable so that the package stays optional: it is installed by those who have a GPU.
  const name = '@kvsift/backend-cuda';
  try {
    const { createCudaBackend } = (await import(name)) as typeof import('@kvsift/backend-cuda');
    return createCudaBackend({ compute, ...(device === 'emulated' ? { emulated: true } : device !== undefined && { device }) });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') {
      throw new KvsiftError(
        'backend_unavailable',
        `--backend cuda needs the package ${name}, which is not installed: npm install ${name}`,
      );
    }
    throw error;
  }
}
