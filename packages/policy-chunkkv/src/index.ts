export { chunkkv } from './chunkkv.js';
