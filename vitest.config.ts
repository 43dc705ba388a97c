import { fileURLToPath } from 'node:url';
import { workspaceTests } from '@kvsift/presets/vitest';

export default workspaceTests(fileURLToPath(new URL('.', import.meta.url)), { slow: process.env.KVSIFT_SLOW_TESTS === '1' });
