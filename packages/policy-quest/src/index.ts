export { extendBounds, type PageBounds, upperBounds } from './pages.js';
export { quest } from './quest.js';
