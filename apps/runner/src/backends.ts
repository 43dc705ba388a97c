import { createReferenceBackend } from '@kvsift/backend-reference';
import { type Backend, KvsiftError } from '@kvsift/tensor';
import { Option } from 'commander';
import { whole } from './number-option.js';

export interface BackendChoice {
  readonly backend?: 'cpu' | 'reference' | 'cuda';
  readonly threads?: number;
  readonly compute?: 'int8' | 'f32';
  /** Of the CUDA backend: numbers of the GPUs that share the model, or the host in the place of so many. */
  readonly device?: Devices;
}

interface Devices {
  readonly numbers: readonly number[];
  readonly emulated: boolean;
}

function devicesOf(text: string): Devices {
  const parts = text.split(',');
  if (parts.every((part) => part === 'emulated')) return { numbers: parts.map(() => 0), emulated: true };
  if (parts.every((part) => /^\d+$/.test(part))) return { numbers: parts.map(Number), emulated: false };
  throw new KvsiftError(
    'invalid_argument',
    `--device takes the number of a GPU, or several with commas between them ("emulated" for tests), not "${text}"`,
  );
}

/** The options that choose what computes. */
export const backendOptions = (): Option[] => [
  new Option('--backend <name>', 'what computes').choices(['cpu', 'cuda', 'reference']).default('cpu'),
  new Option('--threads <n>', 'threads of the CPU backend (default: the cores it may use)').argParser(whole(1)),
  new Option('--compute <mode>', 'int8: fast; f32: exact').choices(['int8', 'f32']).default('int8'),
  new Option(
    '--device <n,...>',
    'GPU of --backend cuda (default: 0), or several that share the layers of the model; "emulated" runs the kernels on the host, very slowly, for tests',
  ).argParser(devicesOf),
];

/** @throws KvsiftError `backend_unavailable` with what is missing and what to do */
export async function createBackend({ backend = 'cpu', threads, compute, device }: BackendChoice): Promise<Backend> {
  if (device !== undefined && backend !== 'cuda')
    throw new KvsiftError('invalid_argument', `--device chooses a GPU of --backend cuda, not of ${backend}`);
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
    return createCudaBackend({ compute, ...(device && { devices: device.numbers, emulated: device.emulated }) });
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
