import { createReferenceBackend } from '@kvsift/backend-reference';
import { type Backend, KvsiftError } from '@kvsift/tensor';
import { Option } from 'commander';
import { whole } from './number-option.js';

export interface BackendChoice {
  readonly backend?: 'cpu' | 'reference' | 'cuda';
  readonly threads?: number;
  readonly compute?: 'int8' | 'f32';
}

/** The options that choose what computes. */
export const backendOptions = (): Option[] => [
  new Option('--backend <name>', 'what computes').choices(['cpu', 'cuda', 'reference']).default('cpu'),
  new Option('--threads <n>', 'threads of the CPU backend (default: the cores it may use)').argParser(whole(1)),
  new Option('--compute <mode>', 'int8: fast; f32: exact').choices(['int8', 'f32']).default('int8'),
];

/** @throws KvsiftError `backend_unavailable` with what is missing and what to do */
export async function createBackend({ backend = 'cpu', threads, compute }: BackendChoice): Promise<Backend> {
  if (backend === 'reference') return createReferenceBackend();
  if (backend === 'cpu') {
    const { createCpuBackend } = await import('@kvsift/backend-cpu');
    return createCpuBackend({ ...(threads !== undefined && { threads }), ...(compute && { compute }) });
  }
  // Named in a variable so that the package stays optional: it is installed by those who have a GPU.
  const name = '@kvsift/backend-cuda';
  try {
    const { createCudaBackend } = (await import(name)) as { createCudaBackend: () => Backend };
    return createCudaBackend();
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
