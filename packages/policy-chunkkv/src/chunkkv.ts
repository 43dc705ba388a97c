import { definePolicy, keepBest, type LayerBudget, type LayerView, raiseProtected, shareOf } from '@kvsift/policy';
import { snapkv } from '@kvsift/policy-snapkv';
import type { Selection, Tensor } from '@kvsift/tensor';

/** ChunkKV (specification 17). */
export const chunkkv = definePolicy({
  name: 'chunkkv',
  title: 'ChunkKV',
  idea: 'Meaning lies in phrases, not in single tokens. Keep or drop whole chunks by the mean score of their tokens, the same chunks in all heads.',
  paper: {
    title: 'ChunkKV: Semantic-Preserving KV Cache Compression for Efficient Long-Context LLM Inference',
    authors: 'Liu, Tang, Dong, Li, Liu, Li, Hu, Chu',
    venue: 'NeurIPS 2025',
    url: 'https://arxiv.org/abs/2502.00299',
  },
  parameters: {
    policy: { kind: 'scored', default: () => snapkv(), description: 'What scores the tokens.' },
    chunk: { kind: 'integer', default: 20, min: 1, unit: 'tokens', description: 'Length of a chunk; 10 in the paper.' },
    perHead: { kind: 'flag', default: false, description: 'Let each head choose its own chunks.' },
    reduction: {
      kind: 'choice',
      choices: ['mean', 'sum'] as const,
      default: 'mean',
      description: 'Over the tokens of a chunk; the sum of the paper ranks a shorter last chunk lower.',
    },
    whole: {
      kind: 'flag',
      default: false,
      description:
        'Count chunks instead of tokens, as kvpress does: the number kept is then not the budget, and chunk scores are read back.',
    },
    reuse: {
      kind: 'integer',
      default: 1,
      min: 1,
      unit: 'layers',
      description:
        'Neighbouring layers that keep what the first of them chose, of which alone scores are computed; 2 in the paper.',
    },
  },
  observes: 'what the wrapped policy observes',
  costs: 'those of the wrapped policy, O(kvHeads · n)',
  phases: ['prefill'],
  profiles: {
    paper: {
      description: 'Sums over chunks of 10 tokens, chosen for two layers at a time.',
      parameters: { chunk: 10, reduction: 'sum', reuse: 2 },
    },
    kvpress: { description: 'kvpress ChunkKVPress.', parameters: { chunk: 20, whole: true } },
  },
  deviations: ['The budget is exact: the last chunk that fits is cut.'],
  create({ policy, chunk, perHead, reduction, whole, reuse }) {
    const body = keepBest('chunkkv', {
      ...policy.scoring,
      // Entries of a chunk are equal: it is cut at its end.
      ties: 'earlier',
      start: (context) => {
        const inner = policy.scoring.start(context);
        const { decode: _decode, ...prefill } = inner;
        const shared = sharedMeans(reuse, async (view) =>
          chunkScores(view, await inner.score(view), { chunk, perHead, reduction }),
        );
        return { ...prefill, score: shared };
      },
    });
    if (!whole) return body;
    return {
      ...body,
      begin(context) {
        const inner = policy.scoring.start(context);
        const chunks = Math.ceil(context.promptLength / chunk);
        // Chunks instead of tokens; the number of entries is not known before, so no smaller bound than the prompt is promised.
        const budgets = policy.scoring.allocate(context).map(({ perHead: entries }): LayerBudget & { chunks: number } => ({
          perHead: entries,
          total: entries * context.model.kvHeads,
          chunks:
            context.budget.kind === 'share'
              ? Math.max(1, shareOf(chunks, context.budget, context.counting))
              : Math.max(1, Math.floor((chunks * entries) / context.promptLength)),
        }));
        const shared = sharedMeans(reuse, async (view) =>
          chunkScores(view, raiseProtected(view, await inner.score(view), policy.scoring.protect), {
            chunk,
            perHead: false,
            reduction,
          }),
        );
        const dispose = () => inner.dispose?.();
        return {
          observe: inner.observe,
          budgets,
          async select(view) {
            return wholeChunks(view, await shared(view), chunk, budgets[view.layer]?.chunks ?? 1);
          },
          dispose,
          [Symbol.dispose]: dispose,
        };
      },
    };
  },
});

interface Chunks {
  readonly chunk: number;
  readonly perHead: boolean;
  readonly reduction: 'mean' | 'sum';
}

/** Each entry's score replaced by that of its chunk (over all heads, unless each head chooses): f32 [kvHeads, n]. */
function chunkScores({ backend, length }: LayerView, scores: Tensor, { chunk, perHead, reduction }: Chunks): Tensor {
  const [heads = 0] = scores.shape;
  const sums = perHead ? scores : backend.reshape(backend.reduce(scores, 0, 'sum'), [1, length]);
  const rows = perHead ? heads : 1;
  const full = Math.floor(length / chunk) * chunk;
  const spread = (start: number, end: number, size: number): Tensor => {
    const parts = backend.reshape(backend.slice(sums, 1, start, end), [rows, (end - start) / size, size]);
    const means = backend.reshape(backend.reduce(parts, 2, reduction), [rows, (end - start) / size, 1]);
    return backend.reshape(backend.zip(means, backend.upload(new Float32Array(size), 'f32', [1, 1, size]), 'add'), [
      rows,
      end - start,
    ]);
  };
  const parts = [...(full > 0 ? [spread(0, full, chunk)] : []), ...(full < length ? [spread(full, length, length - full)] : [])];
  const means = backend.concat(parts, 1);
  return perHead ? means : backend.zip(backend.upload(new Float32Array(heads), 'f32', [heads, 1]), means, 'add');
}

/** `compute` for the first of every `reuse` layers; the others of its length get the same again. */
function sharedMeans(reuse: number, compute: (view: LayerView) => Promise<Tensor>): (view: LayerView) => Promise<Tensor> {
  let last: { readonly group: number; readonly length: number; readonly means: Float32Array } | undefined;
  return async (view) => {
    const { backend, layer, length, model } = view;
    const group = Math.floor(layer / reuse);
    if (layer % reuse > 0 && last?.group === group && last.length === length)
      return backend.upload(last.means, 'f32', [model.kvHeads, length]);
    const means = await compute(view);
    // Tensors of a layer are gone with it.
    if (reuse > 1) last = { group, length, means: (await means.read()) as Float32Array };
    return means;
  };
}

/** The best `count` chunks by the means of their entries, whole, the same in every head. */
async function wholeChunks(view: LayerView, scores: Tensor, chunk: number, count: number): Promise<Selection> {
  const { backend, length, model } = view;
  const means = (await scores.read()) as Float32Array;
  const starts = Array.from({ length: Math.ceil(length / chunk) }, (_, index) => index * chunk);
  const best = starts.sort((a, b) => (means[b] ?? 0) - (means[a] ?? 0) || a - b).slice(0, count);
  const slots = best
    .sort((a, b) => a - b)
    .flatMap((start) => Array.from({ length: Math.min(chunk, length - start) }, (_, at) => start + at));
  const indices = Int32Array.from({ length: model.kvHeads * slots.length }, (_, at) => slots[at % slots.length] ?? 0);
  return backend.selection(
    indices,
    Int32Array.from({ length: model.kvHeads + 1 }, (_, head) => head * slots.length),
  );
}
