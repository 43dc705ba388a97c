import { backendConformance } from '@kvsift/backend-testkit';
import { createCudaBackend } from './index.js';

// The kernels as written, on the host in the place of a GPU; on a GPU `./gpu-check` runs the same.
backendConformance('cuda, emulated', () => createCudaBackend({ emulated: true }));
