export { channelScores, keepChannels, type NarrowKeys } from './channels.js';
export { attendNarrow } from './narrow-attention.js';
export { think } from './think.js';
