import type { AttentionShape, Backend, KvType, KvView, Tensor } from '@kvsift/tensor';
import { agree, demand, identical, outcome } from '../agree.js';
import type { Bench, Case } from '../case.js';
import { floatTensor, integerTensor } from '../inputs.js';
import { layouts, makeView, type ViewPlan } from '../views.js';

interface Plan {
  readonly title: string;
  readonly view: ViewPlan;
  readonly rows: number;
  /** Query heads of each KV head. */
  readonly group: number;
  readonly options?: Partial<AttentionShape>;
  /** Factor on q: large ones make one entry take all. */
  readonly sharpness?: number;
}

const base: ViewPlan = { layout: 'dense', dtype: 'f32', headDim: 8, lengths: [9, 9], room: 2 };

const plans: readonly Plan[] = [
  { title: 'one row, one entry', view: { ...base, lengths: [1] }, rows: 1, group: 1 },
  ...[8, 20, 64, 80, 128].map((headDim) => ({ title: `headDim ${headDim}`, view: { ...base, headDim }, rows: 3, group: 3 })),
  ...([1, 3, 4] as const).map((group) => ({ title: `${group} query heads a KV head`, view: base, rows: 5, group })),
  ...(['f16', 'bf16', 'q8_0'] as const).map((dtype) => ({
    title: dtype,
    view: { ...base, dtype, headDim: 64 },
    rows: 4,
    group: 4,
  })),
  { title: 'all rows of a prompt', view: { ...base, lengths: [37, 37], headDim: 20 }, rows: 37, group: 2 },
  {
    title: 'a long decode step over blocks',
    view: { ...base, lengths: [613, 600], dtype: 'q8_0', headDim: 128 },
    rows: 1,
    group: 4,
  },
  { title: 'a long decode step', view: { ...base, lengths: [613, 613], dtype: 'f16', headDim: 64 }, rows: 1, group: 3 },
  { title: 'a long chunk', view: { ...base, lengths: [211], headDim: 64 }, rows: 67, group: 3 },
  { title: 'ragged heads', view: { ...base, layout: 'flattened', lengths: [3, 17, 8, 130] }, rows: 3, group: 3 },
  { title: 'ragged pages', view: { ...base, layout: 'paged', lengths: [3, 17, 8, 130], dtype: 'bf16' }, rows: 2, group: 1 },
  {
    title: 'rows before the first entry see nothing',
    view: { ...base, layout: 'flattened', lengths: [0, 1, 6] },
    rows: 3,
    group: 2,
  },
  { title: 'one key takes all', view: { ...base, lengths: [40, 40], headDim: 64 }, rows: 7, group: 3, sharpness: 100 },
  { title: 'softcap', view: base, rows: 6, group: 2, options: { softcap: 2.5 }, sharpness: 5 },
  { title: 'window', view: { ...base, lengths: [31, 31], positions: true }, rows: 5, group: 2, options: { window: 12 } },
  {
    title: 'ragged window',
    view: { ...base, layout: 'paged', lengths: [5, 40], positions: true },
    rows: 2,
    group: 1,
    options: { window: 7 },
  },
  { title: 'window of one', view: { ...base, positions: true }, rows: 4, group: 1, options: { window: 1, softcap: 9 } },
];

/** Positions of the last rows of a view whose longest head decides. */
function queryPositions(backend: Backend, view: KvView, rows: number): Tensor {
  const last = 2 * view.maxLength + 2;
  return integerTensor(
    backend,
    Array.from({ length: rows }, (_, row) => last - 2 * (rows - 1 - row)),
  );
}

function attend(backend: Backend, { view: plan, rows, group, options, sharpness = 1 }: Plan) {
  const view = makeView(backend, plan);
  const queryHeads = group * view.kvHeads;
  const q = backend.zip(floatTensor(backend, 31, [rows, queryHeads * view.headDim]), sharpness, 'mul');
  const result = backend.attention(q, [{ view, rows }], {
    queryHeads,
    scale: 1 / Math.sqrt(view.headDim),
    logSumExp: true,
    ...options,
    ...(options?.window && { positions: queryPositions(backend, view, rows) }),
  });
  if (result.logSumExp === undefined) throw new Error('the logSumExp that was asked for is missing');
  return { output: result.output, logSumExp: result.logSumExp };
}

/** Errors of logits grow with the queries. */
const near = ({ tolerance }: Bench, { sharpness = 1 }: Plan) => {
  const allowed = tolerance.attention * Math.max(1, sharpness / 10);
  return { output: { ofLargest: allowed }, logSumExp: { relative: allowed, absolute: allowed } };
};

async function batch(bench: Bench): Promise<void> {
  const whole = (backend: Backend) => {
    const views = [
      [4, 9],
      [1, 1],
      [30, 12],
    ].map((lengths, seed) => makeView(backend, { ...base, layout: 'flattened', lengths, seed: seed + 1 }));
    const counts = [3, 1, 5];
    const q = floatTensor(backend, 33, [9, 4 * 8]);
    const options = { queryHeads: 4, scale: 0.3 };
    const segments = views.map((view, index) => ({ view, rows: counts[index] ?? 0 }));
    const { output } = backend.attention(q, segments, options);
    let first = 0;
    const parts = segments.map((segment) => {
      const own = backend.slice(q, 0, first, first + segment.rows);
      first += segment.rows;
      return backend.attention(own, [segment], options).output;
    });
    return { output, apart: backend.concat(parts, 0) };
  };
  await agree(bench, whole, { ofLargest: bench.tolerance.attention });
}

/** Sums that were begun before, in rows with room for entries to come. */
function adding(backend: Backend, { view: plan, rows, group, options }: Plan) {
  const view = makeView(backend, plan);
  const queryHeads = group * view.kvHeads;
  const q = floatTensor(backend, 37, [rows, queryHeads * view.headDim]);
  const columnSums = floatTensor(backend, 38, [queryHeads, view.maxLength + 3]);
  const { output } = backend.attention(q, [{ view, rows }], {
    queryHeads,
    scale: 1 / Math.sqrt(view.headDim),
    columnSums,
    ...options,
    ...(options?.window && { positions: queryPositions(backend, view, rows) }),
  });
  return { output, columnSums };
}

const addingPlans: readonly Plan[] = [
  { title: 'all rows of a prompt', view: { ...base, lengths: [37, 37], headDim: 20 }, rows: 37, group: 2 },
  { title: 'a long chunk', view: { ...base, lengths: [311, 311], headDim: 64, dtype: 'f16' }, rows: 167, group: 3 },
  { title: 'few rows in pages', view: { ...base, layout: 'paged', lengths: [40, 40] }, rows: 3, group: 1 },
  { title: 'window', view: { ...base, lengths: [131, 131], positions: true }, rows: 55, group: 2, options: { window: 12 } },
  { title: 'softcap', view: { ...base, lengths: [21, 21] }, rows: 16, group: 2, options: { softcap: 2.5 } },
];

async function layoutsAreOne(bench: Bench, dtype: KvType, lengths: readonly number[]): Promise<void> {
  for (const rows of [1, 3]) {
    const outcomes = [];
    for (const [room, layout] of layouts.entries()) {
      const plan: Plan = {
        title: '',
        view: { ...base, dtype, headDim: dtype === 'q8_0' ? 32 : 20, lengths, layout, room },
        rows,
        group: 3,
      };
      outcomes.push(await outcome(bench.actual, (backend) => attend(backend, plan)));
    }
    for (const [index, other] of outcomes.entries()) {
      identical(`output of ${layouts[index]} beside dense`, other.output, outcomes[0]?.output);
      identical(`logSumExp of ${layouts[index]} beside dense`, other.logSumExp, outcomes[0]?.logSumExp);
    }
  }
}

function columnCases(): Case[] {
  const variants = [
    { title: 'causal', mask: 'causal', behind: 0 },
    { title: 'causal, 3 behind', mask: 'causal', behind: 3 },
    { title: 'no mask', mask: 'none', behind: 0 },
    { title: 'window', mask: 'causal', behind: 0, window: 9 },
    { title: 'softcap', mask: 'causal', behind: 0, softcap: 1.5 },
  ] as const;
  const shapes = [
    { length: 11, rows: 4, headDim: 8, group: 1, dtype: 'f32' },
    { length: 67, rows: 32, headDim: 64, group: 3, dtype: 'f16' },
    { length: 70, rows: 33, headDim: 64, group: 2, dtype: 'q8_0' },
    { length: 130, rows: 127, headDim: 20, group: 4, dtype: 'f32' },
  ] as const;
  return variants.flatMap(({ title, mask, behind, ...extra }) =>
    shapes.flatMap(({ length, rows, headDim, group, dtype }) =>
      layouts.flatMap((layout): Case[] => {
        const ask = (backend: Backend) => {
          const view = makeView(backend, { layout, dtype, headDim, lengths: [length, length], positions: 'window' in extra });
          const queryHeads = 2 * group;
          const q = floatTensor(backend, 35, [rows, queryHeads * headDim]);
          const options = {
            queryHeads,
            scale: 1 / Math.sqrt(headDim),
            mask,
            behind,
            ...extra,
            ...('window' in extra && { positions: queryPositions(backend, view, rows) }),
          };
          return { view, q, options };
        };
        const name = `${title}, ${layout}, ${dtype}, ${rows} rows of ${length} entries, headDim ${headDim}`;
        return [
          {
            op: 'attentionColumns',
            title: name,
            run: (bench) =>
              agree(
                bench,
                (backend) => {
                  const { q, view, options } = ask(backend);
                  return {
                    sum: backend.attentionColumns(q, view, 'sum', options),
                    max: backend.attentionColumns(q, view, 'max', options),
                  };
                },
                { ofLargest: bench.tolerance.attention },
              ),
          },
          {
            op: 'attentionRows',
            title: name,
            run: (bench) =>
              agree(
                bench,
                (backend) => {
                  const { q, view, options } = ask(backend);
                  return { rows: backend.attentionRows(q, view, options) };
                },
                { ofLargest: bench.tolerance.attention },
              ),
          },
        ];
      }),
    ),
  );
}

async function knownLogSumExp(bench: Bench): Promise<void> {
  const build = (backend: Backend) => {
    const view = makeView(backend, { ...base, lengths: [50, 50] });
    const q = floatTensor(backend, 36, [50, 4 * 8]);
    const shape = { queryHeads: 4, scale: 0.4 };
    const { logSumExp } = backend.attention(q, [{ view, rows: 50 }], { ...shape, logSumExp: true });
    demand(logSumExp !== undefined, 'the logSumExp that was asked for is missing');
    const known = backend.attentionColumns(q, view, 'sum', { ...shape, mask: 'causal', logSumExp });
    return { known, mass: backend.reduce(known, 1, 'sum') };
  };
  await agree(bench, build, { ofLargest: bench.tolerance.attention });
}

/** attention, attentionColumns, attentionRows */
export function attentionCases(): Case[] {
  return [
    ...plans.map(
      (plan): Case => ({
        op: 'attention',
        title: plan.title,
        run: (bench) => agree(bench, (backend) => attend(backend, plan), near(bench, plan)),
      }),
    ),
    ...addingPlans.map(
      (plan): Case => ({
        op: 'attention',
        title: `adds up columns: ${plan.title}`,
        run: (bench) =>
          agree(bench, (backend) => adding(backend, plan), {
            output: { ofLargest: bench.tolerance.attention },
            columnSums: { ofLargest: bench.tolerance.attention },
          }),
      }),
    ),
    { op: 'attention', title: 'a batch of three sequences', run: batch },
    ...(['f32', 'f16', 'bf16', 'q8_0'] as const).flatMap((dtype): Case[] => [
      {
        op: 'attention',
        title: `${dtype}: equal heads give equal bits in all layouts`,
        run: (bench) => layoutsAreOne(bench, dtype, [19, 19]),
      },
      {
        op: 'attention',
        title: `${dtype}: equal bits in layouts of long heads`,
        run: (bench) => layoutsAreOne(bench, dtype, [301, 301, 301]),
      },
    ]),
    ...columnCases(),
    { op: 'attentionColumns', title: 'with a known logSumExp', run: knownLogSumExp },
  ];
}
