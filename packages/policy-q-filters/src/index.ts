export { filterOf, mainDirection } from './calibration.js';
export { project, qFilters } from './q-filters.js';
