export { rerotate } from './rerotate.js';
