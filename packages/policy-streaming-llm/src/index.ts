export { streamingLlm } from './streaming-llm.js';
