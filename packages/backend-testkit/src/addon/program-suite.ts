import { KvsiftError, type Tensor } from '@kvsift/tensor';
import { afterAll, describe, expect, it } from 'vitest';
import type { MakeAddonBackend } from './make.js';

/** Registers tests of recorded programs: what they hold, what a run changes, how they fail and recover. */
export function programSuite(name: string, make: MakeAddonBackend): void {
  describe(`${name}: record`, () => {
    const backend = make();
    afterAll(() => backend.dispose());

    /** log(exp(x) + 1) of a tensor that changes. */
    function softplus(x: Tensor): { program: ReturnType<NonNullable<typeof backend.record>>; out: Tensor } {
      const made: { out?: Tensor } = {};
      const program = backend.record?.(() => {
        using exponential = backend.map(x, 'exp');
        using sum = backend.zip(exponential, 1, 'add');
        made.out = backend.map(sum, 'log');
      });
      if (program === undefined || made.out === undefined) throw new Error('nothing was recorded');
      return { program, out: made.out };
    }

    it('runs again with what its inputs hold then', async () => {
      using x = backend.upload(new Float32Array(3), 'f32', [3]);
      const { program, out } = softplus(x);
      for (const values of [
        [0, 1, 2],
        [-1, 5, 3],
      ]) {
        backend.write(x, Float32Array.from(values));
        program.run();
        const expected = values.map((value) => Math.log(Math.exp(value) + 1));
        expect(Array.from(await out.read())).toEqual(expected.map((value) => expect.closeTo(value, 5)));
      }
      program.dispose();
      out.dispose();
    });

    it('does nothing before it runs, keeps its results, and gives back what nobody holds', async () => {
      await backend.finish();
      const before = backend.memory().bytes;
      const x = backend.upload(new Float32Array(1000), 'f32', [1000]);
      const { program, out } = softplus(x);
      await expect(out.read()).rejects.toMatchObject({ code: 'invalid_argument' });
      await backend.finish();
      expect(backend.memory().bytes - before).toBe(4000);
      for (let step = 0; step < 3; step++) program.run();
      await backend.finish();
      expect(backend.memory().bytes - before).toBe(8000);
      program.dispose();
      expect(() => program.run()).toThrowError(expect.objectContaining({ code: 'disposed' }));
      x.dispose();
      out.dispose();
      await backend.finish();
      expect(backend.memory().bytes).toBe(before);
    });

    it('recovers in the next run after a run that failed', async () => {
      using table = backend.upload(Float32Array.of(1, 2, 3), 'f32', [3, 1]);
      using ids = backend.upload(Int32Array.of(0), 'i32', [1]);
      const made: { out?: Tensor } = {};
      const program = backend.record?.(() => {
        using rows = backend.embedding(table, ids);
        made.out = backend.map(rows, 'square');
      });
      backend.write(ids, Int32Array.of(7));
      program?.run();
      await expect(made.out?.read()).rejects.toMatchObject({ details: { op: 'embedding' } });
      await expect(backend.finish()).rejects.toBeInstanceOf(KvsiftError);
      backend.write(ids, Int32Array.of(2));
      program?.run();
      expect(await made.out?.read()).toEqual(Float32Array.of(9));
      await backend.finish();
    });

    it('forgets a recording whose build throws, and refuses one inside another', async () => {
      expect(() =>
        backend.record?.(() => {
          backend.uniform({ seed: 1, sequence: 0, layer: 0, purpose: 0 }, 1, 1);
          throw new Error('changed my mind');
        }),
      ).toThrowError('changed my mind');
      expect(() => backend.record?.(() => backend.record?.(() => {}))).toThrowError(
        expect.objectContaining({ code: 'invalid_argument' }),
      );
      using x = backend.upload(Float32Array.of(4), 'f32', [1]);
      using root = backend.map(x, 'sqrt');
      expect(await root.read()).toEqual(Float32Array.of(2));
    });
  });
}
