export { criticalAdakv, criticalkv, projectedValueNorms } from './criticalkv.js';
