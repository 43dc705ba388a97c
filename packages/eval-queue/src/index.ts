export type { RunRecord } from './protocol.js';
export { SharedRun, type SharedRunOptions, tries } from './shared-run.js';
export { runWorker, type WorkerEvent, type WorkerOptions } from './worker.js';
