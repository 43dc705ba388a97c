export { cur } from './cur.js';
