export { headBudgets, headkv } from './headkv.js';
export { type HeadTable, perKvHead, readHeadTable, tablePath } from './table.js';
