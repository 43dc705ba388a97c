export { adakv, adaPresets } from './adakv.js';
