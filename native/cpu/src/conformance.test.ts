import { backendConformance } from '@kvsift/backend-testkit';
import { createCpuBackend, supportedIsas } from './index.js';

for (const isa of supportedIsas()) {
  for (const compute of ['f32', 'int8'] as const) {
    backendConformance(`cpu ${isa} ${compute}`, () => createCpuBackend({ isa, compute, threads: 2 }));
  }
}
