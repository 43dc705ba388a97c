import { argumentSuite } from '@kvsift/backend-testkit';
import { loadAddon } from './locate-addon.js';

argumentSuite('cpu', (createError) => new (loadAddon().Backend)(createError, 2, 'portable', 'f32', 64 * 2 ** 20));
