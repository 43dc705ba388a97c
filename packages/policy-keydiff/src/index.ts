export { keydiff } from './keydiff.js';
