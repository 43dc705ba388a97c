import type { Backend, KvView, Selection } from '@kvsift/tensor';

/** The view that a selection chooses from: the layer's, or, where query heads choose for themselves, the same entries under each query head. */
export function viewOfHeads(backend: Backend, view: KvView, { offsets }: Selection): KvView {
  const heads = (offsets.shape[0] ?? 1) - 1;
  if (heads === view.kvHeads) return view;
  const group = heads / view.kvHeads;
  const repeated = (x: KvView['starts']) => {
    const [rows = 0, width = 1] = x.shape;
    const apart = backend.reshape(x, [rows, 1, width]);
    return backend.concat(new Array<typeof x>(group).fill(apart), 1);
  };
  const { blocks } = view;
  const flat = (x: KvView['starts']) => backend.reshape(repeated(x), [heads]);
  return {
    ...view,
    kvHeads: heads,
    lengths: flat(view.lengths),
    starts: flat(view.starts),
    ...(blocks && { blocks: { ...blocks, table: backend.reshape(repeated(blocks.table), [heads, blocks.table.shape[1] ?? 0]) } }),
  };
}
