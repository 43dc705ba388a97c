export * from './features.js';
export { ratchet } from './ratchet.js';
export { mixed, type SafeRule, stateOf } from './state.js';
