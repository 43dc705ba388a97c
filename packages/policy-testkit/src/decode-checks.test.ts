import { createReferenceBackend } from '@kvsift/backend-reference';
import {
  type DecodeRule,
  definePolicy,
  type LayerView,
  type PolicyRun,
  resolveBudgets,
  type SequenceContext,
  streamOf,
} from '@kvsift/policy';
import type { Selection } from '@kvsift/tensor';
import { expect, it } from 'vitest';
import { conformance } from './conformance.js';

/** The same slots of every head. */
function choose({ backend, model }: LayerView, slots: readonly number[]): Selection {
  const offsets = Int32Array.from({ length: model.kvHeads + 1 }, (_, head) => head * slots.length);
  return backend.selection(Int32Array.from(Array.from({ length: model.kvHeads }, () => slots).flat()), offsets);
}

const latest = (view: LayerView, count: number) =>
  choose(
    view,
    Array.from({ length: count }, (_, at) => view.length - count + at),
  );

/** Checks that a policy fails which keeps the latest entries of a prompt and decodes by the given rule. */
async function failing(ruleOf: (context: SequenceContext) => Omit<DecodeRule, 'observe'>): Promise<string[]> {
  const policy = definePolicy({
    ...{ name: 'faulty', title: 'F', idea: 'F.', observes: 'nothing', costs: 'none', parameters: {} },
    phases: ['prefill', 'decode'],
    create: () => ({
      ragged: false,
      traits: ['decode'] as const,
      begin: (context): PolicyRun => ({
        ...{ observe: {}, budgets: resolveBudgets(context), dispose() {}, [Symbol.dispose]() {} },
        select: (view) => latest(view, view.budget.perHead),
        decode: { observe: {}, ...ruleOf(context) },
      }),
    }),
  });
  const names: string[] = [];
  for (const { name, run } of conformance({ definition: policy.definition, make: () => policy() }, createReferenceBackend)) {
    await run().catch(() => names.push(name));
  }
  return names;
}

const slots = 'keeps, while decoding, ascending slots of what is there';
const repeats = 'repeats its steps where it says so';
const alike = 'decodes alike whatever came before';
const apart = 'keeps sequences apart that are decoded at the same time';

it('passes sound rules', async () => {
  expect(await failing(() => ({ repeats: true, step: (view) => latest(view, view.budget.perHead) }))).toEqual([]);
  expect(await failing(() => ({ step: () => 'all' }))).toEqual([]);
});

it('finds slots that are not there, or not in order', async () => {
  expect(await failing(() => ({ step: (view) => choose(view, [0, view.length]) }))).toContain(slots);
  expect(await failing(() => ({ step: (view) => choose(view, [1, 0]) }))).toContain(slots);
  expect(await failing(() => ({ step: (view) => choose(view, []) }))).toContain(slots);
});

it('finds steps that are not as the ones before', async () => {
  const rules: (() => Omit<DecodeRule, 'observe'>)[] = [
    () => ({ repeats: true, step: () => 'all' }),
    () => ({ repeats: true, step: async (view) => latest(view, view.budget.perHead) }),
    () => ({
      repeats: true,
      step(view) {
        if (view.seen % 2 === 0) view.backend.empty('f32', [1]);
        return latest(view, view.budget.perHead);
      },
    }),
  ];
  for (const rule of rules) expect(await failing(rule)).toEqual([repeats]);
});

it('finds what one sequence says of another', async () => {
  const first = (view: LayerView, gone: number) =>
    choose(
      view,
      Array.from({ length: view.length }, (_, slot) => slot).filter((slot) => slot !== gone),
    );
  let steps = 0;
  expect(await failing(() => ({ step: (view) => first(view, steps++ % 5) }))).toEqual([alike, apart]);
  let begun = 0;
  const latestOnly = (context: SequenceContext): Omit<DecodeRule, 'observe'> => {
    begun = context.sequence;
    return { step: (view) => first(view, begun) };
  };
  expect(await failing(latestOnly)).toEqual([apart]);
  // Draws of a step are those of its own sequence.
  expect(
    await failing(() => ({
      async step(view) {
        const [drawn = 0] = await view.backend.uniform(streamOf(view, 0), 1, 1).read();
        return first(view, Math.floor(drawn * view.length));
      },
    })),
  ).toEqual([]);
});
