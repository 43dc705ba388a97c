export { extendBounds, type PageBounds, type PageReduction, upperBounds } from './pages.js';
export { quest } from './quest.js';
