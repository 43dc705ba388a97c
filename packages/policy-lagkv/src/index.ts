export { lagkv } from './lagkv.js';
