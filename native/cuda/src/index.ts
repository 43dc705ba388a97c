export { type CudaBackendOptions, createCudaBackend } from './create-backend.js';
