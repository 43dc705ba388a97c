import type { DecoderModel } from '@kvsift/models';
import { gatherView } from '@kvsift/policy';
import type { Tensor } from '@kvsift/tensor';
import { attentionShape, describeLayer } from './layer-view.js';
import { viewOfHeads } from './repeated-heads.js';
import { scoped } from './scope.js';
import type { Sequence } from './sequence.js';

/** Attention of one query row of each sequence over what its policy chooses to read. @param turns positions i32 [sequences] that a sliding window compares */
export function retrieve(model: DecoderModel, sequences: readonly Sequence[], layer: number, q: Tensor, turns: Tensor): Tensor {
  using scope = scoped(model.layers[layer]?.backend ?? model.backend);
  const { backend } = scope;
  const rows = sequences.map((sequence, row) => {
    const { cache, run } = sequence;
    const cut = (tensor: Tensor) => backend.slice(tensor, 0, row, row + 1);
    const queries = cut(q);
    const whole = cache.layer(layer).view;
    const chosen = run?.retrieval?.choose({
      ...describeLayer(model, cache, layer, sequence.ropeLength, scope, sequence),
      budget: run.budgets[layer] ?? { perHead: whole.maxLength, total: whole.maxLength * whole.kvHeads },
      seen: cache.seen + 1,
      queries,
    });
    const view =
      chosen === undefined || chosen === 'all' ? whole : gatherView(backend, viewOfHeads(backend, whole, chosen), chosen);
    const compensation = run?.compensation;
    const { output, logSumExp } = backend.attention(queries, [{ view, rows: 1 }], {
      ...attentionShape(model.config, layer),
      positions: backend.reshape(cut(backend.reshape(turns, [sequences.length, 1])), [1]),
      ...(compensation && { logSumExp: true }),
    });
    return compensation && logSumExp ? compensation.correct(layer, backend, queries, output, logSumExp) : output;
  });
  return model.backend.concat(rows, 0);
}
