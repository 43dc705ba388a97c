import {
  columnOptions,
  definePolicy,
  entryRow,
  FollowedScores,
  gumbelNoise,
  keepBest,
  type LayerView,
  lastRows,
  observed,
  reduceGroups,
  releasing,
  resolveBudgets,
  type ScoreRun,
  windowAttention,
} from '@kvsift/policy';
import type { Tensor } from '@kvsift/tensor';

/** Purpose word of the stream of random numbers. */
const purpose = 19;
/** Query rows whose probabilities exist at one time. */
const rowsAtOnce = 16;

/** Scissorhands (specification 19). */
export const scissorhands = definePolicy({
  name: 'scissorhands',
  title: 'Scissorhands',
  idea: 'What was unimportant for most recent queries stays unimportant. Count how often a query pays an entry less than an even share, and drop the most neglected.',
  paper: {
    title: 'Scissorhands: Exploiting the Persistence of Importance Hypothesis for LLM KV Cache Compression at Test Time',
    authors: 'Liu, Desai, Liao, Wang, Xie, Xu, Kyrillidis, Shrivastava',
    venue: 'NeurIPS 2023',
    url: 'https://arxiv.org/abs/2305.17118',
  },
  parameters: {
    history: { kind: 'integer', default: 400, min: 1, unit: 'tokens', description: 'Last queries of the prompt that count.' },
    sinks: { kind: 'integer', default: 0, min: 0, unit: 'tokens', description: 'First tokens that are always kept.' },
    recent: { kind: 'integer', default: 10, min: 1, unit: 'tokens', description: 'Last tokens that are always kept.' },
    importance: {
      kind: 'choice',
      choices: ['neglect', 'attention'] as const,
      default: 'neglect',
      description:
        'neglect: how often a query pays an entry less than an even share. attention: what the queries pay it in sum (KVCache-Factory).',
    },
    decay: {
      kind: 'number',
      default: 1,
      min: 0,
      max: 1,
      description: 'While decoding, what has been gathered before counts so much at each step.',
    },
    temperature: {
      kind: 'number',
      default: 0,
      min: 0,
      description:
        'Above 0 entries are drawn at random, without replacement, each by the softmax of what has been gathered over this; 0: the best are kept.',
    },
  },
  observes: 'rotated queries of the last `history` rows',
  costs: '4 · queryHeads · history · n · headDim FLOPs, O(queryHeads · n) memory',
  phases: ['prefill', 'decode'],
  profiles: {
    factory: {
      description: 'KVCache-Factory selector; with temperature=1 its sampling.',
      parameters: { importance: 'attention' },
    },
  },
  deviations: [
    'Entries are judged by the group mean of their probabilities, per KV head.',
    'While decoding every query counts; the paper forgets those older than `history`.',
    'An eviction leaves the budget; the paper drops half of it at once: decoding(scissorhands, interval=…, target=…) with half the budget for both.',
    'All layers get the same budget; the paper gives later layers more: wrap with per-layer for that.',
  ],
  create: ({ sinks, recent, ...options }) =>
    keepBest('scissorhands', {
      protect: { first: sinks, last: recent },
      ties: options.importance === 'neglect' ? 'later' : 'earlier',
      allocate: resolveBudgets,
      start: () => counted(options),
    }),
});

interface Options {
  readonly history: number;
  readonly importance: 'neglect' | 'attention';
  readonly decay: number;
  readonly temperature: number;
}

/** What each entry has been paid, or minus the number of times that it was neglected; survivors keep it. */
function counted(options: Options, held = new FollowedScores()): ScoreRun {
  const { history, importance, decay, temperature } = options;
  const add = (view: LayerView): Tensor => {
    const { backend, model } = view;
    const known = held.read(view);
    const before = decay === 1 ? known : backend.zip(known, decay, 'mul');
    if (importance === 'neglect') return backend.zip(before, neglect(view, history), 'sub');
    return backend.zip(before, reduceGroups(backend, windowAttention(view, history), model.kvHeads), 'add');
  };
  return {
    observe: { queries: { last: history } },
    score(view) {
      const known = held.complete(view);
      const gathered = known ? held.read(view) : add(view);
      if (temperature === 0) return gathered;
      if (!known) held.write(view, gathered);
      return view.backend.evaluate(['add', gumbelNoise(view, purpose), ['div', gathered, temperature]]);
    },
    kept: (view, scores, selection) => held.follow(view, temperature === 0 ? scores : held.read(view), selection),
    decode: {
      observe: { queries: { last: 1 } },
      step: (view) => held.write(view, add(view)),
      // Noise is drawn anew at each step.
      repeats: temperature === 0,
    },
    fork: () => counted(options, held.fork()),
    memory: held.memory,
    dispose: () => held.dispose(),
  };
}

/** How many of the last `history` queries that see an entry paid it less than 1 / (entries they see): f32 [kvHeads, n]. */
function neglect(view: LayerView, history: number): Tensor {
  const { backend, cache, length, model } = view;
  const queries = lastRows(backend, observed(view, 'queries'), history);
  const [rows = 0] = queries.shape;
  const slots = backend.reshape(
    entryRow(backend, length, (entry) => entry),
    [1, 1, length],
  );
  let counts: Tensor | undefined;
  for (let start = 0; start < rows; start += rowsAtOnce) {
    const end = Math.min(rows, start + rowsAtOnce);
    const before = counts;
    counts = releasing(backend, (inner) => {
      const behind = rows - end;
      const local = { ...view, backend: inner };
      const own = inner.slice(queries, 0, start, end);
      const paid = reduceGroups(
        inner,
        inner.attentionRows(own, cache, columnOptions(local, end - start, { behind })),
        model.kvHeads,
      );
      const visible = Float32Array.from({ length: end - start }, (_, row) => length - rows + start + row + 1);
      const seen = inner.upload(visible, 'f32', [1, end - start, 1]);
      const low = inner.zip(paid, inner.map(seen, 'reciprocal'), 'less');
      const events = inner.reduce(inner.zip(low, inner.zip(slots, seen, 'less'), 'mul'), 1, 'sum');
      return before === undefined ? events : inner.zip(before, events, 'add');
    });
    before?.dispose();
  }
  if (counts === undefined) throw new Error('no queries');
  return counts;
}
