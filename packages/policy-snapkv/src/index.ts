export { snapkv } from './snapkv.js';
