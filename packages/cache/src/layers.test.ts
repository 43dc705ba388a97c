import { createReferenceBackend } from '@kvsift/backend-reference';
import type { KvStorage } from '@kvsift/tensor';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { KvCache, type LayoutKind } from './cache.js';
import { dumpLayer, restoreLayer } from './dump.js';
import type { LayerCache, LayerShape } from './layer.js';

const backend = createReferenceBackend();
const storage: KvStorage = { backend, dtype: 'f32' };
const shape: LayerShape = { kvHeads: 2, headDim: 4, positions: true };
const layouts: readonly LayoutKind[] = ['dense', 'flattened', 'paged'];

/** One head of the model that a layer is compared with: the positions that it holds. */
type Head = number[];

/** Key of a head's token: tells both apart from all others. */
const keyOf = (head: number, position: number) => 1000 * head + position;

function append(layer: LayerCache, first: number, rows: number): void {
  const k = Float32Array.from({ length: rows * 8 }, (_, at) => keyOf(Math.floor((at % 8) / 4), first + Math.floor(at / 8)));
  const positions = Int32Array.from({ length: rows }, (_, at) => first + at);
  using kTensor = backend.upload(k, 'f32', [rows, 8]);
  using vTensor = backend.upload(
    k.map((value) => -value),
    'f32',
    [rows, 8],
  );
  using at = backend.upload(positions, 'i32', [rows]);
  backend.kvAppend([{ view: layer.reserve(rows), rows }], kTensor, vTensor, at);
  layer.advance(rows);
}

async function compact(layer: LayerCache, kept: readonly number[][], goesOn = false): Promise<void> {
  const offsets = Int32Array.of(0, kept[0]?.length ?? 0, kept.flat().length);
  const selection = backend.selection(Int32Array.from(kept.flat()), offsets);
  await layer.compact(selection, undefined, goesOn);
  selection.indices.dispose();
  selection.offsets.dispose();
}

async function expectHolds(layer: LayerCache, heads: readonly Head[]): Promise<void> {
  const dump = await dumpLayer(storage, shape, layer.view);
  expect([...dump.lengths]).toEqual(heads.map((head) => head.length));
  expect([...(dump.positions ?? [])]).toEqual(heads.flat());
  const keys = heads.flatMap((head, index) => head.flatMap((position) => [0, 1, 2, 3].map(() => keyOf(index, position))));
  expect([...dump.keys]).toEqual(keys);
  expect([...dump.values]).toEqual(keys.map((key) => -key));
  expect(layer.entries).toBe(heads.flat().length);
  expect(layer.view.maxLength).toBe(Math.max(...heads.map((head) => head.length)));
}

function open(layout: LayoutKind): KvCache {
  return new KvCache({ storage, layout, layers: [shape], blockSize: 4 });
}

describe('memory', () => {
  const before = backend.memory().bytes;

  afterEach(() => expect(backend.memory().bytes).toBe(before));

  it.each(layouts)('%s: holds what was appended and gives it all back', async (layout) => {
    using cache = open(layout);
    const layer = cache.layer(0, 10);
    append(layer, 0, 10);
    await expectHolds(layer, [
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    ]);
  });

  it('is exactly what is kept after an eviction', async () => {
    for (const layout of ['dense', 'flattened'] as const) {
      using cache = open(layout);
      const layer = cache.layer(0, 20);
      append(layer, 0, 20);
      await compact(layer, [
        [0, 5, 19],
        [1, 2, 3],
      ]);
      expect(layer.bytes).toBe(6 * (2 * 4 * 4 + 4));
      expect(layer.bytes).toBe(layer.entryBytes);
    }
  });

  it('moves entries where they lie while text is generated', async () => {
    for (const layout of layouts) {
      using cache = open(layout);
      const layer = cache.layer(0, 40);
      append(layer, 0, 40);
      const all = Array.from({ length: 40 }, (_, slot) => slot);
      let heads = [all, all];
      layer.reserve(1);
      const { keys, lengths } = layer.view;
      const { bytes } = layer;
      for (let position = 40; position < 140; position++) {
        append(layer, position, 1);
        const keep = heads.map((_, head) => [...all, 40].filter((slot) => slot !== (position * 7 + head) % 40));
        await compact(layer, keep, true);
        heads = heads.map((head, index) => (keep[index] ?? []).map((slot) => [...head, position][slot] ?? -1));
      }
      await expectHolds(layer, heads);
      expect([layer.view.keys, layer.view.lengths, layer.bytes]).toEqual([keys, lengths, bytes]);
      // Much less than it has room for is no reason to stay, nor is memory that a fork needs.
      using twin = cache.fork();
      const most = [all.slice(1), all.slice(1)];
      await compact(twin.layer(0), most, true);
      await expectHolds(layer, heads);
      await expectHolds(
        twin.layer(0),
        heads.map((head) => head.slice(1)),
      );
      await compact(layer, [[3], [5]], true);
      expect(layer.bytes).toBeLessThan(bytes / 2);
    }
  });

  it('is shared by a fork until one of the two changes', async () => {
    for (const layout of layouts) {
      using cache = open(layout);
      append(cache.layer(0, 8), 0, 8);
      const shared = backend.memory().bytes;
      using twin = cache.fork();
      expect(backend.memory().bytes - shared).toBeLessThan(cache.layer(0).bytes / 2);
      append(twin.layer(0), 8, 1);
      await expectHolds(cache.layer(0), [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [0, 1, 2, 3, 4, 5, 6, 7],
      ]);
      append(cache.layer(0), 20, 1);
      await expectHolds(twin.layer(0), [
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
      ]);
    }
  });
});

describe('a layer', () => {
  it('refuses ragged heads where it is dense', async () => {
    using cache = open('dense');
    append(cache.layer(0, 4), 0, 4);
    await expect(compact(cache.layer(0), [[0], [1, 2]])).rejects.toEqual(expect.objectContaining({ code: 'policy_violation' }));
  });

  it('takes back no more than was appended since the last eviction', async () => {
    for (const layout of layouts) {
      using cache = open(layout);
      const layer = cache.layer(0, 4);
      append(layer, 0, 4);
      await compact(layer, [
        [0, 3],
        [1, 3],
      ]);
      append(layer, 4, 2);
      expect(() => layer.rollback(3)).toThrowError(expect.objectContaining({ code: 'invalid_argument' }));
      layer.rollback(1);
      await expectHolds(layer, [
        [0, 3, 4],
        [1, 3, 4],
      ]);
    }
  });

  it('refuses work after dispose', () => {
    for (const layout of layouts) {
      const cache = open(layout);
      const layer = cache.layer(0, 4);
      cache.dispose();
      cache.dispose();
      expect(() => layer.view).toThrowError(expect.objectContaining({ code: 'disposed' }));
    }
  });

  it('copies rows rarely while it grows', () => {
    using cache = open('flattened');
    const layer = cache.layer(0);
    let moves = 0;
    let { keys } = layer.view;
    for (let position = 0; position < 2000; position++) {
      append(layer, position, 1);
      if (layer.view.keys !== keys) moves += 1;
      keys = layer.view.keys;
    }
    expect(moves).toBeLessThan(25);
    expect(layer.bytes).toBeLessThan(1.3 * layer.entryBytes + 4096);
  });

  type Step =
    | { readonly kind: 'append'; readonly rows: number }
    | { readonly kind: 'evict'; readonly seed: number; readonly goesOn: boolean }
    | { readonly kind: 'rollback'; readonly rows: number };
  const steps = fc.array(
    fc.oneof<fc.Arbitrary<Step>[]>(
      fc.record({ kind: fc.constant('append' as const), rows: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ kind: fc.constant('evict' as const), seed: fc.integer({ min: 1, max: 1e6 }), goesOn: fc.boolean() }),
      fc.record({ kind: fc.constant('rollback' as const), rows: fc.integer({ min: 0, max: 3 }) }),
    ),
    { maxLength: 14 },
  );

  it.each(layouts)(
    '%s: behaves as a list of positions, through appends, evictions, rollbacks, forks and dumps',
    async (layout) => {
      await fc.assert(
        fc.asyncProperty(steps, async (list) => {
          using cache = open(layout);
          const layer = cache.layer(0);
          let heads: Head[] = [[], []];
          let next = 0;
          let since = 0;
          for (const step of list) {
            if (step.kind === 'append') {
              append(layer, next, step.rows);
              heads = heads.map((head) => [...head, ...Array.from({ length: step.rows }, (_, at) => next + at)]);
              next += step.rows;
              since += step.rows;
            } else if (step.kind === 'rollback') {
              const rows = Math.min(step.rows, since);
              layer.rollback(rows);
              heads = heads.map((head) => head.slice(0, head.length - rows));
              since -= rows;
            } else {
              const keep = heads.map((head, index) =>
                head.flatMap((_, slot) => ((slot * 7919 + step.seed + (layout === 'dense' ? 0 : index)) % 3 === 0 ? [] : [slot])),
              );
              await compact(layer, keep, step.goesOn);
              heads = heads.map((head, index) => (keep[index] ?? []).map((slot) => head[slot] ?? -1));
              since = 0;
            }
          }
          await expectHolds(layer, heads);
          using twin = cache.fork();
          await expectHolds(twin.layer(0), heads);
          using copy = open(layout === 'dense' ? 'dense' : layout === 'paged' ? 'flattened' : 'paged');
          restoreLayer(copy.layer(0), storage, shape, await dumpLayer(storage, shape, layer.view));
          await expectHolds(copy.layer(0), heads);
        }),
        { numRuns: 60 },
      );
    },
  );
});
