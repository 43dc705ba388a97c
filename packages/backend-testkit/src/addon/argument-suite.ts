import type { ErrorFactory, NativeBackend } from '@kvsift/native-addon';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';

/** What somebody might pass by mistake. */
const anything = (ids: readonly number[]) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...ids) },
    { weight: 3, arbitrary: fc.constantFrom(0, 1, 2, 3, 4, 7, -1, 0.5, 2 ** 31, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY) },
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        'f32',
        'i32',
        'f16',
        'q8_0',
        'linear',
        'keys',
        'add',
        'exp',
        'sum',
        'silu',
        'causal',
        'average',
        '',
      ),
    },
    {
      weight: 3,
      arbitrary: fc.array(fc.constantFrom(0, 1, 2, 3, 4, 8, ...ids), { maxLength: 24 }).map((a) => Float64Array.from(a)),
    },
    fc.constantFrom<unknown>(
      undefined,
      null,
      true,
      false,
      {},
      [],
      () => 1,
      Symbol('x'),
      1n,
      new Float32Array(8),
      new Int32Array(4),
      new Uint8Array(34),
      new Float64Array(0),
      new ArrayBuffer(8),
    ),
    fc.constant<unknown>([
      { name: 'x', path: '/proc/self/mem', dtype: 'f32', shape: Float64Array.of(2, 2), byteOffset: 0, byteLength: 16 },
    ]),
  );

/**
 * Registers tests that call every method of an addon with anything: it works or throws an error with a code, and the process lives.
 * @param open makes the class of the addon, whose tensors may hold 64 MiB
 * @param runs calls of each method
 */
export function argumentSuite(name: string, open: (createError: ErrorFactory) => NativeBackend, runs = 150): void {
  describe(`${name}: the addon`, () => {
    const createError = (code: string, message: string) => Object.assign(new Error(message), { code });
    const native = open(createError);
    const prototype = Object.getPrototypeOf(native) as object;
    afterAll(() => native.dispose());

    const methods = Object.getOwnPropertyNames(prototype).filter((name) => name !== 'constructor' && name !== 'dispose');
    const given = (ids: readonly number[]) => fc.oneof({ weight: 12, arbitrary: anything(ids) }, fc.constant<unknown>(native));
    const call = (target: NativeBackend, name: string, args: readonly unknown[]): unknown =>
      (target as unknown as Record<string, (...args: readonly unknown[]) => unknown>)[name]?.(...args);

    /** Living tensors of several kinds, so that many calls get past the first checks. */
    function tensors(): number[] {
      const shape = (...sizes: number[]) => Float64Array.from(sizes);
      return [
        native.upload('f32', shape(2, 4), new Float32Array(8).fill(0.5)),
        native.upload('f32', shape(4), new Float32Array(4).fill(2)),
        native.upload('f32', shape(2, 2, 2), new Float32Array(8)),
        native.upload('i32', shape(2), Int32Array.of(1, 0)),
        native.upload('i32', shape(1), Int32Array.of(1)),
        native.upload('i32', shape(2, 2), Int32Array.of(-1, 9, 2 ** 30, 0)),
        native.upload('f16', shape(2, 4), new Uint16Array(8)),
        native.upload('q8_0', shape(1, 32), new Uint8Array(34)),
      ];
    }

    it('has methods', () => {
      expect(methods.length).toBeGreaterThan(40);
    });

    it.each(methods)('%s refuses wrong arguments with a typed error, or works', async (name) => {
      const ids = tensors();
      await fc.assert(
        fc.asyncProperty(fc.array(given(ids), { maxLength: 12 }), async (args) => {
          try {
            const result = call(native, name, args);
            if (result instanceof Promise) await result.catch(() => {});
            const done = (result as { done?: unknown } | undefined)?.done;
            if (done instanceof Promise) await done.catch(() => {});
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
            expect((error as { code?: unknown }).code).toEqual(expect.any(String));
          }
          if (name === 'beginRecording') native.releaseProgram(native.endRecording());
          if (name === 'release') ids.splice(0, ids.length, ...tensors());
        }),
        { numRuns: runs },
      );
      await native.finish().catch(() => {});
    });

    it('cannot be called on something else', () => {
      for (const name of methods) expect(() => call(Object.create(prototype) as NativeBackend, name, [])).toThrow();
    });

    it('runs view and segment ops on any numbers', async () => {
      const ids = tensors();
      const number = fc.constantFrom(0, 1, 2, 3, 4, -1, 2 ** 20, ...ids);
      const view = fc.array(number, { minLength: 11, maxLength: 11 }).map((a) => Float64Array.from(a));
      const segments = fc.array(number, { minLength: 12, maxLength: 12 }).map((a) => Float64Array.from(a));
      await fc.assert(
        fc.asyncProperty(view, view, segments, number, number, number, async (from, to, rows, a, b, c) => {
          const attempts: readonly [string, readonly unknown[]][] = [
            ['kvAppend', [rows, a, b, c]],
            ['kvGather', [from, to, a, b]],
            ['kvCompact', [from, a, b]],
            ['kvRead', [from, 'keys', a, b]],
            ['kvReplace', [from, 'values', a]],
            ['attention', [a, rows, 2, 1, 0, 0, 0, true]],
            ['attentionColumns', [a, from, 'sum', 2, 1, 0, 0, 0, 'none', 0, 0]],
            ['attentionRows', [a, from, 2, 1, 0, 0, 0, 'causal', 0, 0]],
          ];
          for (const [name, args] of attempts) {
            try {
              call(native, name, args);
            } catch (error) {
              expect((error as { code?: unknown }).code).toEqual(expect.any(String));
            }
          }
          await native.finish().catch(() => {});
        }),
        { numRuns: 2 * runs },
      );
    });
  });
}
