export { perChunk } from './per-chunk.js';
