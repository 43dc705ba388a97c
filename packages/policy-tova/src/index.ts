export { tova } from './tova.js';
