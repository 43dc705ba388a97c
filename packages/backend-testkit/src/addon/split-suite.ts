import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Backend, isBlockType, KvsiftError, type Tensor } from '@kvsift/tensor';
import { afterAll, describe, expect, it } from 'vitest';
import { backendConformance } from '../conformance.js';
import { programSuite } from './program-suite.js';

/** Registers the conformance suite of a backend that is spread over two devices, with operands of every op on both. */
export function splitConformance(name: string, make: () => Backend): void {
  backendConformance(`${name}, operands on both`, () => scattered(make()));
}

/** Registers the tests of a backend that is spread over two devices: where things are, and programs that go from one to the other. */
export function splitSuite(name: string, make: () => Backend): void {
  programSuite(name, make);

  describe(`${name}: places`, () => {
    const backend = make();
    const [first, second] = [place(backend, 0), place(backend, 0.999)];
    afterAll(() => backend.dispose());

    it('computes where the largest operand lies, and takes what it needs from the other', async () => {
      using large = second.upload(Float32Array.of(1, 2, 3, 4), 'f32', [2, 2]);
      using small = first.upload(Float32Array.of(10, 20), 'f32', [2]);
      using sum = backend.zip(small, large, 'add');
      expect([...(await sum.read())]).toEqual([11, 22, 13, 24]);
      backend.write(small, Float32Array.of(5, 6));
      using again = backend.zip(large, small, 'mul');
      expect([...(await again.read())]).toEqual([5, 12, 15, 24]);
      using copy = second.empty('f32', [2]);
      backend.write(copy, small);
      expect([...(await copy.read())]).toEqual([5, 6]);
    });

    it('multiplies where the weight lies, however small it is', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'kvsift-split-'));
      try {
        const path = join(folder, 'w.bin');
        await writeFile(path, Float32Array.of(1, 2, 3, 4));
        const stored = { name: 'w', dtype: 'f32', shape: [2, 2], path, byteOffset: 0, byteLength: 16 } as const;
        using weight = await second.load(stored, 'linear');
        using table = await second.load(stored, 'embedding');
        using x = first.upload(new Float32Array(400).fill(1), 'f32', [200, 2]);
        using product = backend.linear(x, weight);
        expect([...(await product.read()).slice(-2)]).toEqual([3, 7]);
        using ids = first.upload(new Int32Array(200).fill(1), 'i32', [200]);
        using rows = backend.embedding(table, ids);
        expect([...(await rows.read()).slice(-2)]).toEqual([3, 4]);
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    it('sees in a program what tensors of the other device hold at each run', async () => {
      using x = first.upload(Float32Array.of(1, 2), 'f32', [2]);
      using other = second.upload(new Float32Array(6), 'f32', [3, 2]);
      const made: { out?: Tensor; back?: Tensor } = {};
      const program = backend.record?.(() => {
        using doubled = backend.zip(x, 2, 'mul');
        using there = backend.zip(other, doubled, 'add');
        using row = backend.reduce(there, 0, 'sum');
        using square = backend.map(row, 'square');
        made.out = backend.zip(square, doubled, 'add');
        made.back = backend.zip(x, made.out, 'sub');
      });
      if (program === undefined || made.out === undefined || made.back === undefined) throw new Error('nothing was recorded');
      for (const [a, b] of [
        [1, 2],
        [3, -1],
        [0, 4],
      ] as const) {
        backend.write(x, Float32Array.of(a, b));
        program.run();
        const expected = [a, b].map((value) => (6 * value) ** 2 + 2 * value);
        expect([...(await made.out.read())]).toEqual(expected);
        expect([...(await made.back.read())]).toEqual([a - (expected[0] ?? 0), b - (expected[1] ?? 0)]);
      }
      program.dispose();
      expect(() => program.run()).toThrowError(expect.objectContaining({ code: 'disposed' }));
      made.out.dispose();
      made.back.dispose();
    });

    it.each(['write', 'writeRows'] as const)('copies a tensor anew that a program has changed: %s', async (change) => {
      using x = first.upload(Float32Array.of(1), 'f32', [1]);
      using other = second.upload(Float32Array.of(10, 20), 'f32', [2, 1]);
      const made: { before?: Tensor; after?: Tensor } = {};
      const program = backend.record?.(() => {
        made.before = backend.zip(other, x, 'add');
        using more = backend.zip(x, 1, 'add');
        if (change === 'write') backend.write(x, more);
        else backend.writeRows(x, 0, more);
        made.after = backend.zip(other, x, 'add');
      });
      if (program === undefined || made.before === undefined || made.after === undefined) throw new Error('nothing was recorded');
      for (const start of [1, 2]) {
        program.run();
        expect([...(await made.before.read())]).toEqual([10 + start, 20 + start]);
        expect([...(await made.after.read())]).toEqual([11 + start, 21 + start]);
      }
      for (const one of [program, made.before, made.after]) one.dispose();
    });

    it('carries a failure over, and goes on', async () => {
      using table = first.upload(Float32Array.of(1, 2), 'f32', [2, 1]);
      using wrong = first.upload(Int32Array.of(7), 'i32', [1]);
      using row = first.embedding(table, wrong);
      using large = second.upload(new Float32Array(4), 'f32', [4, 1]);
      using sum = backend.zip(large, row, 'add');
      await expect(sum.read()).rejects.toMatchObject({ code: 'invalid_argument' });
      await expect(backend.finish()).rejects.toMatchObject({ code: 'invalid_argument' });
      await backend.finish().catch(() => undefined);
      using good = backend.map(large, 'exp');
      expect([...(await good.read())]).toEqual([1, 1, 1, 1]);
    });

    it('gives back all memory on both devices', async () => {
      await backend.finish().catch(() => undefined);
      const before = backend.memory().bytes;
      const a = first.upload(new Float32Array(100), 'f32', [100]);
      const b = second.upload(new Float32Array(200), 'f32', [2, 100]);
      const sum = backend.zip(b, a, 'add');
      for (const tensor of [a, b, sum]) tensor.dispose();
      await backend.finish();
      expect(backend.memory().bytes).toBe(before);
    });

    it('ends while one device waits for what the other will never send', async () => {
      const ending = make();
      const [sender, receiver] = [place(ending, 0), place(ending, 0.999)];
      let x = sender.upload(new Float32Array(256 * 256), 'f32', [256, 256]);
      // Work that is still queued when the stream is stopped.
      for (let round = 0; round < 30; round++) x = ending.matmul(x, x);
      const target = receiver.empty('f32', [256, 256]);
      ending.write(target, x);
      const reading = target.read().catch((error: unknown) => error);
      await ending.dispose();
      expect(await reading).toMatchObject({ code: 'disposed' });
    });

    it('refuses tensors of other backends', () => {
      using foreign = make().upload(Float32Array.of(1), 'f32', [1]);
      expect(() => backend.map(foreign, 'exp')).toThrowError(KvsiftError);
    });
  });
}

function place(backend: Backend, share: number): Backend {
  const placed = backend.place?.(share);
  if (placed === undefined) throw new Error('this backend is not spread over devices');
  return placed;
}

/** The backend with every other operand copied to the other device before an op sees it; caches, and what an op changes, stay. */
function scattered(backend: Backend): Backend {
  const places = [place(backend, 0), place(backend, 0.999)];
  let count = 0;
  const moved = (value: unknown, copies: Tensor[]): unknown => {
    if (isTensor(value)) {
      const target = places[count++ % 2];
      if (isBlockType(value.dtype) || !value.alive || target === undefined) return value;
      const copy = target.empty(value.dtype, value.shape);
      copies.push(copy);
      backend.write(copy, value);
      return copy;
    }
    if (Array.isArray(value)) return value.map((item: unknown) => (isTensor(item) ? moved(item, copies) : item));
    if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
    if ('keys' in value) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]: [string, unknown]) => [key, key === 'columnSums' ? item : moved(item, copies)]),
    );
  };
  let recording = false;
  return new Proxy(backend, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name === 'record')
        return (build: () => void) => {
          recording = true;
          try {
            return Reflect.apply(value, target, [build]) as unknown;
          } finally {
            recording = false;
          }
        };
      if (recording || untouched.has(name)) return value.bind(target) as unknown;
      return (...args: unknown[]) => {
        const copies: Tensor[] = [];
        try {
          return Reflect.apply(
            value,
            target,
            args.map((arg) => moved(arg, copies)),
          ) as unknown;
        } finally {
          for (const copy of copies) copy.dispose();
        }
      };
    },
  });
}

/** Methods whose tensors must be those that were given: they are changed, are weights, or share their memory with the result. */
const untouched = new Set<string | symbol>([
  'write',
  'writeRows',
  'dequantize',
  'reshape',
  'embedding',
  'linear',
  'feedForward',
  'projectedNorms',
  'memory',
  'upload',
  'load',
]);

function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'dtype' in value && 'shape' in value && 'read' in value;
}
