export { minicache } from './minicache.js';
