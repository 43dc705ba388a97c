export { decoding } from './decoding.js';
export { phases } from './phases.js';
