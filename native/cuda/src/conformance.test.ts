import { backendConformance } from '@kvsift/backend-testkit';
import { createCudaBackend } from './index.js';

// The kernels as written, on the host in the place of a GPU; on a GPU `./gpu-check` runs the same.
for (const compute of ['bf16', 'f32'] as const) {
  backendConformance(`cuda ${compute}, emulated`, () => createCudaBackend({ emulated: true, compute }));
}
