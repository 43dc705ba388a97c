import { bundledPath, definePolicy, keepBest, type LayerView, resolveBudgets } from '@kvsift/policy';
import { KvsiftError, type Tensor } from '@kvsift/tensor';
import { openWeights } from '@kvsift/weights';

/** Filters that this package brings along. */
const tables = new URL('../tables/', import.meta.url);

/** Q-Filters (specification 16). */
export const qFilters = definePolicy({
  name: 'q-filters',
  title: 'Q-Filters',
  idea: 'Queries of a head share a direction, whatever the text. One vector per KV head, computed once per model, tells which keys future queries will like.',
  paper: {
    title: 'Q-Filters: Leveraging QK Geometry for Efficient KV Cache Compression',
    authors: 'Godey, Devoto, Zhao, Scardapane, Minervini, de la Clergerie, Sagot',
    venue: 'arXiv 2025',
    url: 'https://arxiv.org/abs/2503.02812',
  },
  parameters: {
    filters: {
      kind: 'text',
      default: '',
      description:
        'Filters: smollm2-135m-instruct, or the path of those that `kvsift calibrate q-filters` made (safetensors with `filters` f32 [layers, kvHeads, headDim]); needed.',
    },
    window: {
      kind: 'integer',
      default: 0,
      min: 0,
      unit: 'tokens',
      description: 'Last tokens that are always kept; 0 as in kvpress.',
    },
  },
  observes: 'keys',
  costs: '2 · kvHeads · n · headDim FLOPs, O(kvHeads · n · headDim) memory',
  phases: ['prefill', 'decode'],
  profiles: { kvpress: { description: 'kvpress QFilterPress.', parameters: { window: 0 } } },
  create: ({ filters, window }) => {
    if (filters === '')
      throw new KvsiftError('policy_invalid', 'q-filters needs its filters: q-filters(filters="model.q-filters.safetensors")');
    let loaded: Promise<{ readonly values: Float32Array; readonly shape: readonly number[] }> | undefined;
    return keepBest('q-filters', {
      protect: { first: 0, last: window },
      allocate: resolveBudgets,
      start: () => ({
        observe: {},
        decode: { observe: {} },
        async score(view) {
          loaded ??= readFilters(bundledPath(filters, tables, '.safetensors'));
          const { values, shape } = await loaded;
          demandShape(view, filters, shape);
          return project(view, values);
        },
      }),
    });
  },
});

async function readFilters(path: string): Promise<{ values: Float32Array; shape: readonly number[] }> {
  const file = await openWeights(path);
  const stored = file.tensor('filters');
  return { values: await file.readFloat32(stored), shape: stored.shape };
}

function demandShape({ model }: LayerView, path: string, shape: readonly number[]): void {
  const expected = [model.layers, model.kvHeads, model.headDim];
  if (shape.length === 3 && expected.every((size, axis) => size === shape[axis])) return;
  throw new KvsiftError(
    'policy_invalid',
    `${path}: filters are [${shape.join(', ')}], this model needs [${expected.join(', ')}]`,
    { path },
  );
}

/** Minus the product of each key with its head's filter: f32 [kvHeads, n]. */
export function project({ backend, cache, layer, length, model }: LayerView, filters: Float32Array): Tensor {
  const { kvHeads, headDim } = model;
  const size = kvHeads * headDim;
  const own = backend.upload(filters.slice(layer * size, (layer + 1) * size), 'f32', [kvHeads, 1, headDim]);
  const products = backend.matmul(own, backend.kvRead(cache, 'keys'), { transposeB: true });
  return backend.map(backend.reshape(products, [kvHeads, length]), 'neg');
}
