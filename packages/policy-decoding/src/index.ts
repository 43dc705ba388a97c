export { decoding } from './decoding.js';
