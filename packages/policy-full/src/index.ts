export { full } from './full.js';
