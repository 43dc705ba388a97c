import { programSuite } from '@kvsift/backend-testkit';
import { createCpuBackend } from './index.js';

programSuite('cpu', (options) => createCpuBackend({ threads: 2, ...options }));
