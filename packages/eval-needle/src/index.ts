export { type ContextMaker, createContextMaker } from './context.js';
export { type HeatMap, type HeatPoint, heatMapOf } from './heat-map.js';
export { gridOf, NEEDLE_PRESETS, type Needle, type NeedlePreset, SANDWICH } from './presets.js';
export { kvpressRouge, NEEDLE_PROFILES, type NeedleProfile, scoreNeedle } from './score.js';
export { type NeedleOptions, needleInHaystack } from './suite.js';
