import { splitSuite } from '@kvsift/backend-testkit';
import { expect, it } from 'vitest';
import { createCudaBackend } from './index.js';

splitSuite('two emulated devices', () => createCudaBackend({ emulated: true, devices: [0, 0] }));

it('counts the memory of a GPU once, however many logical devices it is', async () => {
  await using one = createCudaBackend({ emulated: true });
  await using two = createCudaBackend({ emulated: true, devices: [0, 0] });
  expect(two.info.memoryBytes).toBe(one.info.memoryBytes);
});

it('says which options do not fit', () => {
  expect(() => createCudaBackend({ emulated: true, device: 0, devices: [0] })).toThrowError('exclude each other');
  expect(() => createCudaBackend({ emulated: true, devices: [] })).toThrowError('at least one GPU');
  expect(() => createCudaBackend({ emulated: true, devices: [0, 3] })).toThrowError(
    expect.objectContaining({ code: 'backend_unavailable' }),
  );
});
