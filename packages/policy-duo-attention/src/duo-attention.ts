import { bundledPath, definePolicy, type LayerBudget, type LayerView, layerNumbers, type PolicyRun } from '@kvsift/policy';
import { perKvHead, readHeadTable } from '@kvsift/policy-headkv';
import { type Backend, KvsiftError, type Selection } from '@kvsift/tensor';

/** Gates that this package brings along. */
const tables = new URL('../tables/', import.meta.url);

/** DuoAttention (specification 22). */
export const duoAttention = definePolicy({
  name: 'duo-attention',
  title: 'DuoAttention',
  idea: 'Some heads retrieve, the others only look at sinks and recent tokens. A gate per head, learned once per model, says which; only retrieval heads keep everything.',
  paper: {
    title: 'DuoAttention: Efficient Long-Context LLM Inference with Retrieval and Streaming Heads',
    authors: 'Xiao, Tang, Zuo, Guo, Yang, Tang, Fu, Han',
    venue: 'ICLR 2025',
    url: 'https://arxiv.org/abs/2410.10819',
  },
  parameters: {
    table: {
      kind: 'text',
      default: '',
      description: 'Gates: smollm2-135m-instruct, or the path of those that `kvsift calibrate gates` made (JSON); needed.',
    },
    sparsity: {
      kind: 'number',
      default: 0.5,
      min: 0,
      max: 1,
      unit: 'share of heads',
      description: 'Heads with the lowest gates become streaming heads.',
    },
    sinks: { kind: 'integer', default: 128, min: 0, unit: 'tokens', description: 'First tokens that streaming heads keep.' },
    recent: { kind: 'integer', default: 256, min: 1, unit: 'tokens', description: 'Last tokens that streaming heads keep.' },
    slide: {
      kind: 'integer',
      default: 0,
      min: 0,
      unit: 'steps',
      description: 'While decoding, streaming heads are cut back after so many tokens; 0: only after the prompt.',
    },
  },
  budget: 'own',
  observes: 'nothing',
  costs: 'none',
  phases: ['prefill', 'decode'],
  profiles: {
    reference: { description: 'duo-attention repository.', parameters: { sinks: 128, recent: 256, slide: 1 } },
    kvpress: { description: 'kvpress DuoAttentionPress.', parameters: { sinks: 128, recent: 256, slide: 0 } },
  },
  deviations: ['By default streaming heads are cut once, after the prompt; the original slides them at every step: slide=1.'],
  create: ({ table, sparsity, sinks, recent, slide }) => {
    if (table === '')
      throw new KvsiftError('policy_invalid', 'duo-attention needs a table of gates: duo-attention(table="gates.json")');
    const gates = readHeadTable(bundledPath(table, tables, '.json'), 'gates');
    return {
      ragged: true,
      ignoresBudget: true,
      traits: slide > 0 ? (['decode'] as const) : [],
      begin({ model, promptLength }) {
        const streaming = streamingHeads(perKvHead(gates, model), sparsity);
        const cut = Math.min(promptLength, sinks + recent);
        const budgets = streaming.map((row): LayerBudget => {
          const total = row.reduce((sum, streams) => sum + (streams ? cut : promptLength), 0);
          return { perHead: Math.ceil(total / row.length), total };
        });
        return sliding(streaming, budgets, { sinks, recent, slide }, new Map());
      },
    };
  },
});

/** True for the round(sparsity · heads) heads with the lowest gates, ties by layer and head. */
export function streamingHeads(gates: readonly (readonly number[])[], sparsity: number): boolean[][] {
  const order = gates.flatMap((row, layer) => row.map((gate, head) => ({ gate, layer, head })));
  order.sort((a, b) => a.gate - b.gate || a.layer - b.layer || a.head - b.head);
  const streaming = gates.map((row) => row.map(() => false));
  for (const { layer, head } of order.slice(0, Math.round(sparsity * order.length))) {
    const row = streaming[layer];
    if (row !== undefined) row[head] = true;
  }
  return streaming;
}

interface Kept {
  readonly sinks: number;
  readonly recent: number;
  readonly slide: number;
}

/** @param steps tokens decoded since a layer's streaming heads were last cut */
function sliding(
  streaming: readonly (readonly boolean[])[],
  budgets: readonly LayerBudget[],
  kept: Kept,
  steps: Map<number, number>,
): PolicyRun {
  const headsOf = (layer: number) => streaming[layer] ?? [];
  return {
    observe: {},
    budgets,
    select: ({ backend, layer, length }) =>
      twoLengths(
        backend,
        headsOf(layer),
        headsOf(layer).map(() => length),
        kept,
      ),
    ...(kept.slide > 0 && {
      decode: {
        observe: {},
        async step({ backend, cache, layer }: LayerView) {
          const passed = (steps.get(layer) ?? 0) + 1;
          steps.set(layer, passed % kept.slide);
          if (passed < kept.slide || !headsOf(layer).includes(true)) return 'all' as const;
          // Second turns append without a step: only the cache knows how long its heads are.
          const lengths = [...(await cache.lengths.read())];
          const longer = lengths.some((length, head) => headsOf(layer)[head] && length > kept.sinks + kept.recent);
          return longer ? twoLengths(backend, headsOf(layer), lengths, kept) : ('all' as const);
        },
      },
    }),
    memory: layerNumbers(steps, kept.slide - 1),
    fork: () => sliding(streaming, budgets, kept, new Map(steps)),
    dispose: () => {},
    [Symbol.dispose]: () => {},
  };
}

/** Sinks and recent entries of streaming heads, all of the others. */
function twoLengths(
  backend: Backend,
  streaming: readonly boolean[],
  lengths: readonly number[],
  { sinks, recent }: Kept,
): Selection {
  const heads = streaming.map((streams, head) => {
    const length = lengths[head] ?? 0;
    const all = Array.from({ length }, (_, slot) => slot);
    return streams ? all.filter((slot) => slot < sinks || slot >= length - recent) : all;
  });
  const offsets = [0];
  for (const slots of heads) offsets.push((offsets.at(-1) ?? 0) + slots.length);
  return backend.selection(Int32Array.from(heads.flat()), Int32Array.from(offsets));
}
