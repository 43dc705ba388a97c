export { criticalAdakv, criticalkv } from './criticalkv.js';
