export { argumentSuite } from './addon/argument-suite.js';
export { failure } from './addon/failure.js';
export type { MakeAddonBackend } from './addon/make.js';
export { programSuite } from './addon/program-suite.js';
export { streamSuite } from './addon/stream-suite.js';
export type { Bench, Case, Op, Tolerance } from './case.js';
export { defaultTolerance } from './case.js';
export { type Closeness, compare, type Numbers } from './compare.js';
export { backendConformance, type ConformanceOptions, conformanceCases } from './conformance.js';
