export { threshold } from './threshold.js';
