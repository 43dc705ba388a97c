import { argumentSuite } from '@kvsift/backend-testkit';
import { loadAddon } from './locate-addon.js';

argumentSuite('cuda, emulated', (createError) => new (loadAddon(true).Backend)(createError, 0, 64 * 2 ** 20, false, 'bf16'), 60);
