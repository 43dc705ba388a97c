import { createReferenceBackend } from '@kvsift/backend-reference';
import type { Backend, Tensor } from '@kvsift/tensor';
import { describe, expect, it } from 'vitest';
import { type Bench, defaultTolerance, type Op } from './case.js';
import { compare } from './compare.js';
import { conformanceCases } from './conformance.js';

/** The reference with one method replaced. */
function broken(op: Op, replace: (inner: Backend) => unknown): Backend {
  const inner = createReferenceBackend();
  return new Proxy(inner, {
    get(target, name) {
      if (name === op) return replace(inner);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Cases of an op that a backend fails. */
async function failuresOf(op: Op, make: () => Backend): Promise<number> {
  const actual = make();
  const another = async () => make();
  const bench: Bench = { reference: createReferenceBackend(), actual, tolerance: defaultTolerance('f32'), another };
  let failed = 0;
  for (const { run } of conformanceCases().filter((one) => one.op === op)) {
    await run(bench).catch(() => {
      failed += 1;
    });
  }
  return failed;
}

/** Multiplies a result by a number that is a little off. */
const slightlyOff = (backend: Backend, x: Tensor, factor = 1 + 1e-4) => {
  using exact = x;
  return backend.zip(exact, factor, 'mul');
};

const faults: readonly (readonly [what: string, op: Op, replace: (inner: Backend) => unknown])[] = [
  [
    'numbers a little off',
    'linear',
    (b) =>
      (...args: Parameters<Backend['linear']>) =>
        slightlyOff(b, b.linear(...args)),
  ],
  ['a forgotten bias', 'linear', (b) => (x: Tensor, w: Tensor, o: object) => b.linear(x, w, { ...o, bias: undefined } as object)],
  [
    'attention that ignores the window',
    'attention',
    (b) =>
      (...[q, segments, options]: Parameters<Backend['attention']>) => {
        const { window: _, ...rest } = options;
        return b.attention(q, segments, rest);
      },
  ],
  [
    'column sums that ignore the rows behind',
    'attentionColumns',
    (b) =>
      (...[q, view, statistic, options]: Parameters<Backend['attentionColumns']>) =>
        b.attentionColumns(q, view, statistic, { ...options, behind: 0 }),
  ],
  [
    'ties resolved the other way round',
    'top',
    (b) =>
      (...[scores, options]: Parameters<Backend['top']>) => {
        const n = scores.shape[1] ?? 0;
        using tilt = b.upload(
          Float32Array.from({ length: n }, (_, index) => index * 1e-6),
          'f32',
          [n],
        );
        using tilted = b.zip(scores, tilt, 'add');
        return b.top(tilted, options);
      },
  ],
  [
    'memory that is never given back',
    'rmsNorm',
    (b) => {
      const kept: Tensor[] = [];
      return (...args: Parameters<Backend['rmsNorm']>) => {
        const out = b.rmsNorm(...args);
        kept.push(b.reshape(out, out.shape));
        return out;
      };
    },
  ],
  ['an op that checks nothing', 'pool', (b) => (x: Tensor, kernel: number, kind: 'max') => b.pool(x, kernel | 1, kind)],
  [
    'rows written outside of the cache',
    'kvReplace',
    (b) =>
      (...[view, part, x]: Parameters<Backend['kvReplace']>) => {
        b.kvReplace(view, part, x);
        const { dtype, shape } = view[part];
        const length = (shape[0] ?? 0) * (shape[1] ?? 0);
        b.write(view[part], dtype === 'f32' ? new Float32Array(length) : new Uint16Array(length));
      },
  ],
];

describe('the suite finds', () => {
  for (const [what, op, replace] of faults) {
    it(`${what}: ${op}`, async () => {
      expect(await failuresOf(op, () => broken(op, replace))).toBeGreaterThan(0);
    });
  }

  it('nothing where a method is only passed on', async () => {
    for (const op of ['linear', 'pool', 'kvReplace'] as const) {
      const passedOn = () => broken(op, (inner) => (inner[op] as (...args: unknown[]) => unknown).bind(inner));
      expect(await failuresOf(op, passedOn)).toBe(0);
    }
  });

  it('an op that is missing', async () => {
    expect(await failuresOf('rank', () => broken('rank', () => undefined))).toBeGreaterThan(0);
  });
});

describe('compare', () => {
  const numbers = (...data: number[]) => ({ dtype: 'f32', shape: [data.length], data: Float32Array.from(data) }) as const;

  it('takes NaN for NaN, but no number for it', () => {
    compare('x', numbers(Number.NaN, 1), numbers(Number.NaN, 1), 'exact');
    expect(() => compare('x', numbers(0), numbers(Number.NaN), { absolute: 1e9 })).toThrow('[0]: 0, the reference gives NaN');
    expect(() => compare('x', numbers(Number.NaN), numbers(0), { absolute: 1e9 })).toThrow('1 of 1 elements are off');
  });

  it('takes infinities for themselves only', () => {
    compare('x', numbers(Infinity), numbers(Infinity), 'exact');
    expect(() => compare('x', numbers(3e38), numbers(Infinity), { relative: 1 })).toThrow('is [0]');
    expect(() => compare('x', numbers(Infinity), numbers(3e38), { relative: 1, ofLargest: 1 })).toThrow('is [0]');
  });

  it('names the worst element', () => {
    expect(() => compare('x', numbers(1, 5, 2), numbers(1, 2, 3), { absolute: 0.5 })).toThrow(
      '2 of 3 elements are off; the worst is [1]',
    );
  });

  it('refuses another shape', () => {
    expect(() => compare('x', numbers(1, 2), numbers(1), 'exact')).toThrow('x is f32 [2], the reference gives f32 [1]');
  });

  it('keeps to bounds of each element', () => {
    compare('x', numbers(1, 2), numbers(1.5, 2), { bounds: [0.5, 0] });
    expect(() => compare('x', numbers(1, 2), numbers(1.5, 2), { bounds: [0.4, 0] })).toThrow('[0]');
  });
});
