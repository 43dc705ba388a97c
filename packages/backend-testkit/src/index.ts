export type { Bench, Case, Op, Tolerance } from './case.js';
export { defaultTolerance } from './case.js';
export { type Closeness, compare, type Numbers } from './compare.js';
export { backendConformance, type ConformanceOptions, conformanceCases } from './conformance.js';
