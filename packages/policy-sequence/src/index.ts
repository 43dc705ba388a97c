export { sequence } from './sequence.js';
