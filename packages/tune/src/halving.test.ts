import fc from 'fast-check';
import { expect, it } from 'vitest';
import { halve } from './halving.js';

interface Fake {
  readonly cost: number;
  /** Quality of each prompt. */
  readonly qualities: readonly number[];
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

async function run(candidates: readonly Fake[], prompts: number, target: number) {
  let reads = 0;
  const read = new Map<Fake, number>();
  const result = await halve({
    candidates,
    prompts,
    target,
    async measure(candidate, count) {
      reads += Math.max(0, count - (read.get(candidate) ?? 0));
      read.set(candidate, count);
      return { candidate, prompts: count, quality: mean(candidate.qualities.slice(0, count)), cost: candidate.cost };
    },
  });
  return { ...result, reads };
}

const unit = fc.double({ min: 0, max: 1, noNaN: true });
const cost = fc.nat(999).map((thousandths) => thousandths / 1000);

it('finds the cheapest that holds where prompts agree, and reads far less than everything', async () => {
  const steady = fc.record({ cost, quality: unit });
  await fc.assert(
    fc.asyncProperty(fc.array(steady, { minLength: 1, maxLength: 24 }), unit, async (list, target) => {
      const candidates = list.map(({ cost, quality }) => ({ cost, qualities: Array(64).fill(quality) }));
      const { best } = await run(candidates, 64, target);
      // Means of equal numbers differ from them by rounding.
      const holding = candidates.filter(({ qualities }) => mean(qualities) >= target).map(({ cost }) => cost);
      if (best !== undefined) expect(best.quality).toBeGreaterThanOrEqual(target);
      if (Math.abs(Math.min(...list.map(({ quality }) => Math.abs(quality - target)))) > 1e-9) {
        expect(best?.candidate.cost).toBe(holding.length === 0 ? undefined : Math.min(...holding));
      }
    }),
  );
  const many = Array.from({ length: 32 }, (_, step) => ({ cost: step / 32, qualities: Array(64).fill(step >= 20 ? 1 : 0) }));
  const { best, reads } = await run(many, 64, 0.9);
  expect(best?.candidate.cost).toBe(20 / 32);
  expect(reads).toBeLessThan((32 * 64) / 3);
});

it('misses nobody: if any candidate holds on all prompts, the one returned does', async () => {
  const noisy = fc.record({ cost, qualities: fc.array(fc.constantFrom(0, 1), { minLength: 16, maxLength: 16 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(noisy, { minLength: 1, maxLength: 12 }),
      fc.constantFrom(0.5, 0.75, 1),
      async (candidates, target) => {
        const { best, tried } = await run(candidates, 16, target);
        const holds = candidates.some(({ qualities }) => mean(qualities) >= target);
        expect(best !== undefined).toBe(holds);
        if (best !== undefined) {
          expect(best.prompts).toBe(16);
          expect(mean(best.candidate.qualities)).toBeGreaterThanOrEqual(target);
        }
        expect(new Set(tried.map(({ candidate }) => candidate)).size).toBe(candidates.length);
      },
    ),
  );
});

it('prefers what evicts something to what costs as much as the full cache', async () => {
  const same = { cost: 1, qualities: Array(8).fill(1) };
  const dropped = { cost: 0.5, qualities: [0, 0, 1, 1, 1, 1, 1, 1] };
  expect((await run([same, dropped], 8, 0.7)).best?.candidate).toBe(dropped);
  expect((await run([same], 8, 0.7)).best).toBeUndefined();
});
