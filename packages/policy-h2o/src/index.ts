export { h2o, observedAttention } from './h2o.js';
