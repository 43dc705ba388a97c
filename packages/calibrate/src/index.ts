export { type FilterOptions, queryFilters, writeFilters } from './query-filters.js';
export { type QueryStatistics, queryStatistics, type StatisticsOptions, writeStatistics } from './query-statistics.js';
export { type RetrievalOptions, retrievalHeads } from './retrieval-heads.js';
export { streamingGates } from './streaming-gates.js';
