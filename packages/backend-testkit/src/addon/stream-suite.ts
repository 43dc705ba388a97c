import { afterAll, describe, expect, it } from 'vitest';
import { failure } from './failure.js';
import type { MakeAddonBackend } from './make.js';

/** Registers tests of what a stream off the JavaScript thread promises: failures surface where they belong, and everything goes on. */
export function streamSuite(name: string, make: MakeAddonBackend): void {
  describe(`${name}: stream`, () => {
    const backend = make({ memoryLimit: 64 * 2 ** 20 });
    afterAll(() => backend.dispose());

    it('names the op that failed wherever its results are read, once in finish, and goes on', async () => {
      using table = backend.upload(new Float32Array(8), 'f32', [4, 2]);
      using ids = backend.upload(Int32Array.of(1, 4), 'i32', [2]);
      using rows = backend.embedding(table, ids);
      using sums = backend.reduce(rows, 1, 'sum');
      const first = await failure(sums.read());
      expect(first).toMatchObject({ code: 'invalid_argument', details: { op: 'embedding' } });
      expect(first.message).toContain('id');
      expect(await failure(rows.read())).toMatchObject({ details: { op: 'embedding' } });
      expect(await failure(backend.finish())).toMatchObject({ details: { op: 'embedding' } });
      await backend.finish();
      using squares = backend.map(table, 'square');
      expect(await squares.read()).toEqual(new Float32Array(8));
    });

    it('survives an op that needs more memory than there is', async () => {
      await backend.finish();
      const before = backend.memory().bytes;
      const large = backend.empty('f32', [2 ** 25]);
      using small = backend.reduce(large, 0, 'sum');
      expect(await failure(small.read())).toMatchObject({ code: 'out_of_memory', details: { op: 'empty' } });
      expect(await failure(backend.finish())).toMatchObject({ code: 'out_of_memory' });
      large.dispose();
      small.dispose();
      await backend.finish();
      expect(backend.memory().bytes).toBe(before);
      using fits = backend.empty('f32', [2 ** 20]);
      await fits.read();
    });

    it('gives a written tensor its contents back after a failure', async () => {
      using broken = backend.empty('f32', [2 ** 25]);
      using row = backend.slice(broken, 0, 0, 2);
      await failure(row.read());
      await failure(backend.finish());
      backend.write(row, Float32Array.of(1, 2));
      expect(await row.read()).toEqual(Float32Array.of(1, 2));
    });

    it('keeps the order of writes and reads', async () => {
      using x = backend.upload(Float32Array.of(0), 'f32', [1]);
      const seen: Promise<unknown>[] = [];
      for (let step = 1; step <= 20; step++) {
        backend.write(x, Float32Array.of(step));
        seen.push(x.read());
      }
      expect(await Promise.all(seen)).toEqual(Array.from({ length: 20 }, (_, step) => Float32Array.of(step + 1)));
    });

    it('runs cache ops that point outside their memory into an error', async () => {
      const upload = (...values: number[]) => backend.upload(Int32Array.from(values), 'i32', [values.length]);
      using keys = backend.empty('f32', [4, 2]);
      using values = backend.empty('f32', [4, 2]);
      using lengths = upload(3);
      using starts = upload(2);
      using rows = backend.upload(new Float32Array(2), 'f32', [1, 2]);
      using positions = upload(0);
      const view = { dtype: 'f32', kvHeads: 1, headDim: 2, keys, values, lengths, starts, maxLength: 3, uniform: true } as const;
      using outside = backend.kvRead(view, 'keys');
      expect(await failure(outside.read())).toMatchObject({ code: 'invalid_argument', details: { op: 'kvRead' } });
      await failure(backend.finish());
      backend.write(starts, Int32Array.of(1));
      using inside = backend.kvRead(view, 'keys');
      await inside.read();
      backend.kvAppend([{ view, rows: 1 }], rows, rows, positions);
      expect(await failure(backend.finish())).toMatchObject({ code: 'invalid_argument', details: { op: 'kvAppend' } });
    });
  });
}
