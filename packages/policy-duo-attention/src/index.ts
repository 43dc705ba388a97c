export { duoAttention, streamingHeads } from './duo-attention.js';
