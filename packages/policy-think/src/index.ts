export { channelScores, keepChannels, type NarrowKeys } from './channels.js';
export { attendNarrow, joinAttention } from './narrow-attention.js';
export { think } from './think.js';
