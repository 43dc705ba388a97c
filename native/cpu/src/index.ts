export { type CpuBackendOptions, createCpuBackend, type Isa, supportedIsas } from './create-backend.js';
