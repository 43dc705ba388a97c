import {
  columnOptions,
  definePolicy,
  type LayerBudget,
  type LayerView,
  lastRows,
  layerNumbers,
  observed,
  type PolicyRun,
  uniformLayer,
  windowAttention,
} from '@kvsift/policy';
import { type Backend, KvsiftError, type Selection, type Tensor } from '@kvsift/tensor';

/** SimLayerKV (specification 23). */
export const simlayerkv = definePolicy({
  name: 'simlayerkv',
  title: 'SimLayerKV',
  idea: 'A layer whose last queries look almost only at the first and the most recent tokens is lazy: it keeps only these. All other layers stay whole.',
  paper: {
    title: 'SimLayerKV: A Simple Framework for Layer-Level KV Cache Reduction',
    authors: 'Zhang, Du, Du, Pang, Gao, Lin',
    venue: 'arXiv 2024',
    url: 'https://arxiv.org/abs/2410.13846',
  },
  parameters: {
    threshold: {
      kind: 'number',
      default: 0.9,
      min: 0,
      max: 1,
      unit: 'share of attention',
      description: 'A layer is lazy above it; 1 never evicts.',
    },
    sinks: { kind: 'integer', default: 4, min: 0, unit: 'tokens', description: 'First tokens of the test, kept in lazy layers.' },
    recent: { kind: 'integer', default: 1024, min: 1, unit: 'tokens', description: 'Last tokens that lazy layers keep.' },
    tested: {
      kind: 'integer',
      default: 0,
      min: 0,
      unit: 'tokens',
      description: 'Last tokens of the test; 0: `recent`.',
    },
    lastQueries: {
      kind: 'integer',
      default: 1,
      min: 1,
      unit: 'tokens',
      description: 'Queries of the prompt whose attention is tested.',
    },
    columns: {
      kind: 'choice',
      choices: ['before', 'own'] as const,
      default: 'before',
      description:
        'before: the tested tokens end before the queries, whose own columns are left out (kvpress); own: they end with each query.',
    },
    when: {
      kind: 'choice',
      choices: ['prompt', 'first-step'] as const,
      default: 'prompt',
      description:
        'When a layer is tested: by the last queries of the prompt, or by that of the first decoded token, itself among the tested.',
    },
    kept: {
      kind: 'choice',
      choices: ['recent', 'recent-minus-queries'] as const,
      default: 'recent',
      description: 'recent-minus-queries keeps recent − lastQueries tokens, as kvpress does.',
    },
  },
  budget: 'own',
  observes: 'rotated queries of the last rows',
  costs: '2 · queryHeads · lastQueries · n · headDim FLOPs; one number is read back',
  phases: ['prefill', 'decode'],
  profiles: {
    reference: { description: 'SimLayerKV repository: decided at the first decoded token.', parameters: { when: 'first-step' } },
    'reference-prefill': {
      description: 'The repository’s variant at the end of the prompt, commented there.',
      parameters: { lastQueries: 32, tested: 512, columns: 'own' },
    },
    kvpress: { description: 'kvpress SimLayerKVPress.', parameters: { threshold: 1, kept: 'recent-minus-queries' } },
  },
  deviations: [
    'The decision falls after the prompt; the original waits for the first decode step: when=first-step.',
    'The threshold is one number; the original has one for each family of models (0.9 Llama 3, 0.65 Llama 2, 0.8 Mistral, 0.85 Qwen).',
  ],
  create: ({ when, threshold, kept, ...test }) => {
    const tail = kept === 'recent' ? test.recent : test.recent - test.lastQueries;
    if (tail < 1) {
      throw new KvsiftError(
        'policy_invalid',
        `simlayerkv: recent − lastQueries must be at least 1 with kept=recent-minus-queries, not ${tail}`,
      );
    }
    return {
      ragged: false,
      traits: when === 'first-step' ? (['decode'] as const) : [],
      begin({ model, promptLength }) {
        const whole = uniformLayer(promptLength, model);
        if (when === 'first-step')
          return atFirstStep({ ...test, lastQueries: 1, columns: 'own' }, threshold, whole, model.layers);
        const short = promptLength <= test.sinks + test.recent + test.lastQueries;
        const budget = short ? whole : uniformLayer(test.sinks + tail, model);
        return {
          observe: { queries: { last: test.lastQueries } },
          budgets: Array.from({ length: model.layers }, () => budget),
          async select(view) {
            // A sliding window may have left less than the prompt.
            if (view.length <= test.sinks + test.recent + test.lastQueries) return 'all';
            return (await laziness(view, test)) > threshold ? sinksAndTail(view, test.sinks, tail) : 'all';
          },
          dispose() {},
          [Symbol.dispose]() {},
        };
      },
    };
  },
});

/** What a layer is tested by. */
export interface LazinessTest {
  readonly sinks: number;
  readonly recent: number;
  /** 0: `recent`. */
  readonly tested: number;
  readonly lastQueries: number;
  readonly columns: 'before' | 'own';
}

/** Every layer is tested by the first token that is decoded, and never again. */
function atFirstStep(
  test: LazinessTest,
  threshold: number,
  whole: LayerBudget,
  layers: number,
  tested = new Map<number, number>(),
): PolicyRun {
  const { sinks, recent } = test;
  return {
    observe: {},
    budgets: Array.from({ length: layers }, () => whole),
    select: () => 'all',
    decode: {
      observe: { queries: { last: 1 } },
      async step(view) {
        const first = !tested.has(view.layer);
        tested.set(view.layer, 1);
        if (!first || view.length <= sinks + recent + 1) return 'all';
        return (await laziness(view, test)) > threshold ? sinksAndTail(view, sinks, recent) : 'all';
      },
    },
    memory: layerNumbers(tested, 1),
    fork: () => atFirstStep(test, threshold, whole, layers, new Map(tested)),
    dispose() {},
    [Symbol.dispose]() {},
  };
}

/** Mean over heads and last queries of the attention on the first `sinks` and the last tested entries. */
export async function laziness(view: LayerView, { sinks, recent, tested, lastQueries, columns }: LazinessTest): Promise<number> {
  const { backend, length } = view;
  const reach = tested === 0 ? recent : tested;
  if (columns === 'own') {
    const rows = Math.min(lastQueries, length);
    const queries = lastRows(backend, observed(view, 'queries'), rows);
    const paid = backend.attentionRows(queries, view.cache, columnOptions(view, rows));
    const counts = new Float32Array(rows * length);
    for (let row = 0; row < rows; row++) {
      const end = length - rows + row + 1;
      counts.fill(1, row * length, row * length + Math.min(sinks, end));
      counts.fill(1, row * length + Math.max(0, end - reach), row * length + end);
    }
    const counted = backend.zip(paid, backend.upload(counts, 'f32', [1, rows, length]), 'mul');
    return meanOfHeads(backend, backend.reduce(backend.reduce(counted, 2, 'sum'), 1, 'mean'));
  }
  const end = length - lastQueries;
  const paid = windowAttention(view, lastQueries);
  const parts = [backend.slice(paid, 1, 0, sinks), backend.slice(paid, 1, Math.max(sinks, end - reach), end)];
  return (await meanOfHeads(backend, backend.reduce(backend.concat(parts, 1), 1, 'sum'))) / lastQueries;
}

async function meanOfHeads(backend: Backend, perHead: Tensor): Promise<number> {
  const [mean = 0] = await backend.reduce(perHead, 0, 'mean').read();
  return mean;
}

function sinksAndTail({ backend, length, model }: LayerView, sinks: number, tail: number): Selection {
  const perHead = sinks + tail;
  const indices = Int32Array.from({ length: model.kvHeads * perHead }, (_, at) => {
    const slot = at % perHead;
    return slot < sinks ? slot : length - perHead + slot;
  });
  return backend.selection(
    indices,
    Int32Array.from({ length: model.kvHeads + 1 }, (_, head) => head * perHead),
  );
}
