export { entryBytes } from './buffers.js';
export * from './cache.js';
export { ContiguousLayer } from './contiguous.js';
export { dumpLayer, type LayerDump, restoreLayer } from './dump.js';
export * from './layer.js';
export { PagedLayer } from './paged.js';
