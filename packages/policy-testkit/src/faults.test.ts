import { createReferenceBackend } from '@kvsift/backend-reference';
import {
  definePolicy,
  type EvictionPolicy,
  keepBest,
  type LayerView,
  observed,
  resolveBudgets,
  type SequenceContext,
  streamOf,
} from '@kvsift/policy';
import type { Tensor } from '@kvsift/tensor';
import { expect, it } from 'vitest';
import { conformance } from './conformance.js';

const about = { title: 'F', idea: 'F.', observes: 'queries', costs: 'none', phases: ['prefill'], parameters: {} } as const;

/** The checks that a policy fails. */
async function failing(create: () => Omit<EvictionPolicy, 'name' | 'parameters'>, seeded: boolean): Promise<string[]> {
  const policy = definePolicy({ ...about, name: 'faulty', seeded, create });
  const names: string[] = [];
  for (const { name, run } of conformance({ definition: policy.definition, make: () => policy() }, createReferenceBackend))
    await run().catch(() => names.push(name));
  return names;
}

const draw = (view: LayerView, other: Partial<ReturnType<typeof streamOf>> = {}): Tensor =>
  view.backend.uniform({ ...streamOf(view, 0), ...other }, view.model.kvHeads, view.length);

type Score = (view: LayerView) => Tensor | Promise<Tensor>;

/** A policy by the scores that it makes. */
const scored = (makeScore: () => Score) => () => {
  const score = makeScore();
  const start = () => ({ observe: { queries: 'all' as const }, score });
  return keepBest('faulty', { protect: { first: 0, last: 0 }, allocate: resolveBudgets, start });
};

/** Scores of keys: what the numbers of this sequence say, and no seed. */
const keys: Score = (view) => view.backend.reduce(view.backend.kvRead(view.cache, 'keys', 0, view.length), 2, 'sum');

/** A policy by the slots that it keeps of the first head; the other keeps the same. */
const choosing = (slots: (view: LayerView, context: SequenceContext) => readonly number[]) => () => ({
  ragged: false,
  begin: (context: SequenceContext) => ({
    ...{ observe: {}, budgets: resolveBudgets(context), dispose() {}, [Symbol.dispose]() {} },
    select(view: LayerView) {
      const own = slots(view, context);
      const offsets = Int32Array.from({ length: view.model.kvHeads + 1 }, (_, head) => head * own.length);
      return view.backend.selection(Int32Array.from(Array.from({ length: view.model.kvHeads }, () => own).flat()), offsets);
    },
  }),
});
const range = (first: number, count: number) => Array.from({ length: count }, (_, index) => first + index);

it('passes sound ones', async () => {
  expect(
    await failing(
      scored(() => draw),
      true,
    ),
  ).toEqual([]);
  expect(
    await failing(
      scored(() => keys),
      false,
    ),
  ).toEqual([]);
  expect(
    await failing(
      choosing(({ length, budget }) => range(length - budget.perHead, budget.perHead)),
      false,
    ),
  ).toEqual([]);
});

const apart = 'keeps sequences apart that are read at the same time';
const alike = 'answers alike for the same sequence, whatever came before';
it.each<[fault: string, create: Parameters<typeof failing>[0], seeded: boolean, check: string]>([
  ['ignores the seed', scored(() => (view) => draw(view, { seed: 1 })), true, 'draws other entries for another seed'],
  ['hides that it draws', scored(() => draw), false, 'does not depend on the seed'],
  ['ignores the sequence', scored(() => (view) => draw(view, { sequence: 0 })), true, 'draws other entries for another sequence'],
  ['cannot draw again', scored(() => (view) => draw(view, { purpose: Math.floor(Math.random() * 1e6) })), true, alike],
  [
    'uses what it found for another prompt of this length',
    scored(() => {
      const found = new Map<number, Float32Array>();
      return async (view) => {
        const numbers = found.get(view.length) ?? ((await keys(view)) as Tensor).read();
        found.set(view.length, (await numbers) as Float32Array);
        return view.backend.upload((await numbers) as Float32Array, 'f32', [view.model.kvHeads, view.length]);
      };
    }),
    false,
    alike,
  ],
  [
    'goes by the sequence that began last',
    () => {
      let latest: SequenceContext | undefined;
      const own = choosing((view) =>
        range(Math.max(0, view.length - view.budget.perHead - ((latest?.promptLength ?? 0) % 7)), view.budget.perHead),
      )();
      return {
        ...own,
        begin(context: SequenceContext) {
          latest = context;
          return own.begin(context);
        },
      };
    },
    false,
    apart,
  ],
  [
    'writes over what it observes',
    scored(() => (view) => {
      const queries = observed(view, 'queries');
      view.backend.write(queries, view.backend.map(queries, 'neg'));
      return keys(view);
    }),
    false,
    'does not modify keys, values and what it observes',
  ],
  [
    'writes over the keys',
    scored(() => (view) => {
      view.backend.write(view.cache.keys, view.backend.map(view.cache.keys, 'neg'));
      return keys(view);
    }),
    false,
    'does not modify keys, values and what it observes',
  ],
  [
    'keeps one entry too many',
    choosing(({ length, budget }) => range(0, Math.min(length, budget.perHead + 1))),
    false,
    'keeps ascending slots inside the prompt, as many as the budget says',
  ],
  [
    'keeps what is not there',
    choosing(({ length, budget }) => range(length - budget.perHead + 1, budget.perHead)),
    false,
    'keeps ascending slots inside the prompt, as many as the budget says',
  ],
  [
    'keeps one entry twice',
    choosing(({ budget }) => [0, ...range(0, budget.perHead - 1)]),
    false,
    'keeps ascending slots inside the prompt, as many as the budget says',
  ],
  [
    'breaks where a key is no number',
    scored(() => async (view) => {
      const numbers = await (await keys(view)).read();
      if (numbers.some(Number.isNaN)) throw new Error('no number');
      return keys(view);
    }),
    false,
    'survives keys and values that are not numbers',
  ],
])('finds one that %s', async (_, create, seeded, check) => {
  expect(await failing(create, seeded)).toContain(check);
});
