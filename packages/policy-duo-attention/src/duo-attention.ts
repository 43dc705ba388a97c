import { definePolicy, type LayerBudget, type LayerView } from '@kvsift/policy';
import { perKvHead, readHeadTable, tablePath } from '@kvsift/policy-headkv';
import { KvsiftError, type Selection } from '@kvsift/tensor';

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
  },
  budget: 'own',
  observes: 'nothing',
  costs: 'none',
  phases: ['prefill'],
  profiles: { kvpress: { description: 'kvpress DuoAttentionPress.', parameters: { sinks: 128, recent: 256 } } },
  deviations: ['Streaming heads are cut once, after the prompt; the original slides them while decoding.'],
  create: ({ table, sparsity, sinks, recent }) => {
    if (table === '')
      throw new KvsiftError('policy_invalid', 'duo-attention needs a table of gates: duo-attention(table="gates.json")');
    const gates = readHeadTable(tablePath(table, tables, '.json'));
    return {
      ragged: true,
      begin({ model, promptLength }) {
        const streaming = streamingHeads(perKvHead(gates, model), sparsity);
        const cut = Math.min(promptLength, sinks + recent);
        const budgets = streaming.map((row): LayerBudget => {
          const total = row.reduce((sum, streams) => sum + (streams ? cut : promptLength), 0);
          return { perHead: Math.ceil(total / row.length), total };
        });
        return {
          observe: {},
          budgets,
          select: (view) => twoLengths(view, streaming[view.layer] ?? [], sinks, recent),
          dispose: () => {},
          [Symbol.dispose]: () => {},
        };
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

function twoLengths({ backend, length }: LayerView, streaming: readonly boolean[], sinks: number, recent: number): Selection {
  const all = Array.from({ length }, (_, slot) => slot);
  const ends = all.filter((slot) => slot < sinks || slot >= length - recent);
  const heads = streaming.map((streams) => (streams ? ends : all));
  const offsets = [0];
  for (const slots of heads) offsets.push((offsets.at(-1) ?? 0) + slots.length);
  return backend.selection(Int32Array.from(heads.flat()), Int32Array.from(offsets));
}
