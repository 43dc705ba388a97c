export { cake, measure } from './cake.js';
export { preferredShares } from './shares.js';
