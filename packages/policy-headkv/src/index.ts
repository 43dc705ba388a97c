export { headBudgets, headkv } from './headkv.js';
export { type HeadTable, perKvHead, readHeadTable, type TableKind } from './table.js';
