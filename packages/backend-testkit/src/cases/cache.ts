import type { Backend, KvType } from '@kvsift/tensor';
import { agree, failsStream } from '../agree.js';
import type { Case } from '../case.js';
import { floatTensor, integerTensor } from '../inputs.js';
import { contents, layouts, makeView, type ViewPlan } from '../views.js';

const types: readonly KvType[] = ['f32', 'f16', 'bf16', 'q8_0'];

function appendCases(plan: (change: Partial<ViewPlan>) => ViewPlan): Case[] {
  return [
    {
      op: 'kvAppend',
      title: `${describe(plan({}))}: rows join two sequences, and nothing else changes`,
      run: (bench) =>
        agree(bench, (backend) => {
          const a = makeView(backend, plan({ lengths: [2, 5, 0], room: 4 }));
          const b = makeView(backend, plan({ lengths: [3, 3, 3], room: 1, seed: 2 }));
          const columns = a.kvHeads * a.headDim;
          const rows = (count: number, seed: number) => floatTensor(backend, seed, [count, columns], 'outliers');
          const segments = [
            { view: a, rows: 3 },
            { view: b, rows: 1 },
          ];
          backend.kvAppend(segments, rows(4, 11), rows(4, 12), integerTensor(backend, [90, 91, 92, 40]));
          backend.kvAppend([{ view: a, rows: 1 }], rows(1, 13), rows(1, 14), integerTensor(backend, [93]));
          backend.kvAppend([{ view: a, rows: 0 }], rows(0, 15), rows(0, 16), integerTensor(backend, []));
          return { ...contents(a, 'a.'), ...contents(b, 'b.') };
        }),
    },
    {
      op: 'kvGather',
      title: `${describe(plan({}))}: selected entries move to every layout, and nothing else changes`,
      run: (bench) =>
        agree(bench, (backend) => {
          const from = makeView(backend, plan({ lengths: [7, 1, 4] }));
          const selection = backend.selection(Int32Array.of(0, 2, 3, 6, 0, 3), Int32Array.of(0, 4, 4, 6));
          const targets = layouts.map((layout) => emptied(backend, plan({ layout, lengths: [0, 0, 0], room: 4 })));
          const whole = emptied(backend, plan({ lengths: [0, 0, 0], room: 7 }));
          for (const target of targets) backend.kvGather(from, selection, target);
          backend.kvGather(from, 'all', whole);
          const moved = targets.map((target, index) => contents(target, `${layouts[index]}.`));
          return Object.assign({}, ...moved, contents(from, 'from.'), contents(whole, 'all.'));
        }),
    },
    {
      op: 'kvCompact',
      title: `${describe(plan({}))}: selected entries move to the front, and nothing else changes`,
      run: (bench) =>
        agree(bench, (backend) => {
          const view = makeView(backend, plan({ lengths: [40, 1, 3, 2], room: 2 }));
          const kept = [0, 2, 3, ...Array.from({ length: 33 }, (_, index) => index + 5), 39];
          const count = kept.length;
          backend.kvCompact(
            view,
            backend.selection(Int32Array.of(...kept, 0, 1), Int32Array.of(0, count, count, count + 2, count + 2)),
          );
          return contents(view);
        }),
    },
    {
      op: 'kvRead',
      title: describe(plan({})),
      run: (bench) =>
        agree(bench, (backend) => {
          const view = makeView(backend, plan({ lengths: [5, 5, 5] }));
          const empty = makeView(backend, plan({ lengths: [0, 0], room: 2 }));
          return {
            keys: backend.kvRead(view, 'keys'),
            values: backend.kvRead(view, 'values'),
            empty: backend.kvRead(empty, 'keys'),
            range: backend.kvRead(view, 'keys', 1, 4),
            rest: backend.kvRead(view, 'values', 3),
            none: backend.kvRead(view, 'keys', 5, 5),
          };
        }),
    },
    {
      op: 'kvReplace',
      title: `${describe(plan({}))}: and nothing else changes`,
      run: (bench) =>
        agree(bench, (backend) => {
          const view = makeView(backend, plan({ lengths: [5, 5, 5], room: 2 }));
          backend.kvReplace(view, 'keys', floatTensor(backend, 21, [3, 5, view.headDim], 'outliers'));
          backend.kvReplace(view, 'values', floatTensor(backend, 22, [3, 5, view.headDim]));
          return contents(view);
        }),
    },
  ];
}

function describe({ layout, dtype, headDim }: ViewPlan): string {
  return `${layout}, ${dtype}, headDim ${headDim}`;
}

/** A view whose rows hold sentinels only. */
function emptied(backend: Backend, plan: ViewPlan) {
  return { ...makeView(backend, plan), maxLength: 0, uniform: true };
}

function failures(): Case[] {
  const plan: ViewPlan = { layout: 'flattened', dtype: 'f32', headDim: 4, lengths: [3, 3] };
  const append = (backend: Backend, layout: ViewPlan['layout'], rows: number) => {
    const view = makeView(backend, { ...plan, layout });
    const k = floatTensor(backend, 1, [rows, 8]);
    backend.kvAppend([{ view, rows }], k, k, integerTensor(backend, new Array<number>(rows).fill(9)));
    return undefined;
  };
  return [
    {
      op: 'kvAppend',
      title: 'more rows than the memory holds fail the stream',
      run: ({ actual }) => failsStream(actual, 'kvAppend', (backend) => append(backend, 'flattened', 50)),
    },
    {
      op: 'kvAppend',
      title: 'more rows than the block table holds fail the stream',
      run: ({ actual }) => failsStream(actual, 'kvAppend', (backend) => append(backend, 'paged', 50)),
    },
    {
      op: 'kvGather',
      title: 'slots that a head does not hold fail the stream',
      run: ({ actual }) =>
        failsStream(actual, 'kvGather', (backend) => {
          const to = emptied(backend, { ...plan, lengths: [0, 0], room: 5 });
          backend.kvGather(makeView(backend, plan), backend.selection(Int32Array.of(0, 3, 1), Int32Array.of(0, 2, 3)), to);
          return undefined;
        }),
    },
    {
      op: 'kvCompact',
      title: 'slots that a head does not hold fail the stream',
      run: ({ actual }) =>
        failsStream(actual, 'kvCompact', (backend) => {
          backend.kvCompact(makeView(backend, plan), backend.selection(Int32Array.of(0, 3, 1), Int32Array.of(0, 2, 3)));
          return undefined;
        }),
    },
  ];
}

/** kvAppend, kvGather, kvRead, kvReplace: bit for bit, sentinels around the entries included. */
export function cacheCases(): Case[] {
  const dims = { f32: [8, 20], f16: [20, 64], bf16: [8, 80], q8_0: [32, 96] } as const;
  const plans = layouts.flatMap((layout) =>
    types.flatMap((dtype) =>
      dims[dtype].map(
        (headDim) =>
          (change: Partial<ViewPlan>): ViewPlan => ({ layout, dtype, headDim, lengths: [4], positions: true, ...change }),
      ),
    ),
  );
  return [...plans.flatMap(appendCases), ...failures()];
}
