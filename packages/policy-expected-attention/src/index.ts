export { expectedAttention } from './expected-attention.js';
