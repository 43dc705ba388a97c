export { AddonBackend } from './addon-backend.js';
export { addonError } from './addon-error.js';
export type { ErrorFactory, NativeBackend } from './addon-types.js';
export { type AddonSearch, loadAddon, platformName } from './locate-addon.js';
export { SplitBackend } from './split-backend.js';
