import { createReferenceBackend } from '@kvsift/backend-reference';
import { definePolicy, keepBest, resolveBudgets } from '@kvsift/policy';
import { describe, expect, it } from 'vitest';
import { conformance } from './conformance.js';

/** A policy that keeps the last entries, with a fault to be found. */
function faulty(fault: 'none' | 'state' | 'matrix' | 'heads' | 'passes') {
  let calls = 0;
  return definePolicy({
    name: 'faulty',
    title: 'Faulty',
    idea: 'Keep the last entries.',
    parameters: {},
    observes: 'nothing',
    costs: 'none',
    phases: ['prefill'],
    create: () =>
      keepBest('faulty', {
        protect: { first: 0, last: 0 },
        allocate: resolveBudgets,
        start: () => ({
          observe: {},
          score({ backend, length, model }) {
            calls++;
            const sign = fault === 'state' && calls % 2 === 0 ? -1 : 1;
            const first = (index: number) => (fault === 'heads' && index < length ? -1 : 1);
            const scores = Float32Array.from(
              { length: length * model.kvHeads },
              (_, index) => sign * first(index) * (index % length),
            );
            if (fault === 'passes') scores.fill(0, 0, backend.info.passBytes ?? 0);
            if (fault === 'matrix') backend.empty('f32', [length * 10, length * 10]);
            return backend.upload(scores, 'f32', [model.kvHeads, length]);
          },
        }),
      }),
  });
}

async function failing(fault: Parameters<typeof faulty>[0]): Promise<string[]> {
  const policy = faulty(fault);
  const names: string[] = [];
  for (const { name, run } of conformance({ definition: policy.definition, make: () => policy() }, createReferenceBackend)) {
    await run().catch(() => names.push(name));
  }
  return names;
}

describe('conformance', () => {
  it('passes a sound policy', async () => {
    expect(await failing('none')).toEqual([]);
  });
  it.each([
    ['state', 'answers alike for the same sequence, whatever came before'],
    ['matrix', 'needs memory linear in the prompt'],
    ['heads', 'treats KV heads alike'],
    ['passes', 'answers alike in passes of any size'],
  ] as const)('finds the fault %s', async (fault, name) => {
    expect(await failing(fault)).toContain(name);
  });
});
