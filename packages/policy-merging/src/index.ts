export { merging } from './merging.js';
