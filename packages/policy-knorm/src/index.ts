export { knorm } from './knorm.js';
