export { perLayer } from './per-layer.js';
