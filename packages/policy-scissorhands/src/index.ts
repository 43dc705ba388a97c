export { scissorhands } from './scissorhands.js';
