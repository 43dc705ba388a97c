export { laziness, simlayerkv } from './simlayerkv.js';
