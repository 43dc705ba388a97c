import { splitConformance, splitSuite } from '@kvsift/backend-testkit';
import { AddonBackend, SplitBackend } from '@kvsift/native-addon';
import { createCpuBackend } from './index.js';

// There is no reason to split a CPU; it shows quickly what devices do slowly.
const make = () => {
  const parts = [1, 2].map(() => {
    const part = createCpuBackend({ threads: 1, compute: 'f32' });
    if (!(part instanceof AddonBackend)) throw new Error('not a backend of the addon');
    return part;
  });
  return SplitBackend.over(parts, [1, 1], { name: 'cpu', description: 'two parts', threads: 2, compute: 'f32' });
};

splitConformance('two parts of a cpu', make);
splitSuite('two parts of a cpu', make);
