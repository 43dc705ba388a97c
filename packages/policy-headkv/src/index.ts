export { headBudgets, headkv } from './headkv.js';
export { type HeadTable, perKvHead, readHeadTable } from './table.js';
