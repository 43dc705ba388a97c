import type { AttentionShape, Backend, Formula, Tensor } from '@kvsift/tensor';

/** Query rows whose logits exist at one time: memory stays linear in the entries. */
const rowsAtOnce = 64;

/** Attention of query rows over some of the entries. */
export interface Attended {
  /** f32 [rows, queryHeads · headDim] */
  readonly output: Tensor;
  /** f32 [rows, queryHeads] */
  readonly logSumExp: Tensor;
}

/** Entries that a run holds beside the cache, as attention needs them; rows of a group's query heads lie together. */
export interface HeldEntries {
  readonly kvHeads: number;
  readonly headDim: number;
  /** Products of queries f32 [kvHeads, rows, headDim] with the keys: f32 [kvHeads, rows, entries]. */
  products(queries: Tensor): Tensor;
  /** Values summed by weights f32 [kvHeads, rows, entries]: f32 [kvHeads, rows, headDim]. */
  mix(weights: Tensor): Tensor;
}

/** Attention of rotated query rows f32 [rows, queryHeads · headDim], all later than the entries, over what a run holds beside the cache. */
export function attendHeld(
  backend: Backend,
  q: Tensor,
  held: HeldEntries,
  shape: Pick<AttentionShape, 'scale' | 'softcap'>,
): Attended {
  const [rows = 0] = q.shape;
  const parts: Attended[] = [];
  for (let start = 0; start < rows; start += rowsAtOnce) {
    const part = rows <= rowsAtOnce ? q : backend.slice(q, 0, start, Math.min(rows, start + rowsAtOnce));
    parts.push(attendRows(backend, part, held, shape));
  }
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const joined = (name: keyof Attended) =>
    backend.concat(
      parts.map((part) => part[name]),
      0,
    );
  return { output: joined('output'), logSumExp: joined('logSumExp') };
}

function attendRows(
  backend: Backend,
  q: Tensor,
  { kvHeads, headDim, products, mix }: HeldEntries,
  { scale, softcap }: Pick<AttentionShape, 'scale' | 'softcap'>,
): Attended {
  const [rows = 0, columns = 0] = q.shape;
  const group = columns / headDim / kvHeads;
  const queries = backend.reshape(backend.transpose(backend.reshape(q, [rows, kvHeads, group, headDim]), [1, 0, 2, 3]), [
    kvHeads,
    rows * group,
    headDim,
  ]);
  const scaled = backend.zip(products(queries), scale, 'mul');
  const logits = softcap === undefined ? scaled : backend.softcap(scaled, softcap);
  const most = backend.reduce(logits, 2, 'max');
  const height = backend.reshape(most, [kvHeads, rows * group, 1]);
  const weights = backend.evaluate(['exp', ['sub', logits, height]]);
  const sums = backend.reduce(weights, 2, 'sum');
  const output = backend.zip(mix(weights), backend.reshape(sums, [kvHeads, rows * group, 1]), 'div');
  const asRows = (x: Tensor, width: number) =>
    backend.reshape(backend.transpose(backend.reshape(x, [kvHeads, rows, group, width]), [1, 0, 2, 3]), [
      rows,
      kvHeads * group * width,
    ]);
  return { output: asRows(output, headDim), logSumExp: asRows(backend.evaluate(['add', most, ['log', sums]]), 1) };
}

/** Attention over both sets of entries, from the attention over each. */
export function joinAttention(backend: Backend, a: Attended, b: Attended): Tensor {
  const [rows = 0, columns = 0] = a.output.shape;
  const [, heads = 0] = a.logSumExp.shape;
  const most: Formula = ['max', a.logSumExp, b.logSumExp];
  const weight = (part: Attended) => backend.reshape(backend.evaluate(['exp', ['sub', part.logSumExp, most]]), [rows, heads, 1]);
  const byHead = (x: Tensor) => backend.reshape(x, [rows, heads, columns / heads]);
  const [own, other] = [weight(a), weight(b)];
  const sum: Formula = ['add', ['mul', byHead(a.output), own], ['mul', byHead(b.output), other]];
  return backend.reshape(backend.evaluate(['div', sum, ['add', own, other]]), [rows, columns]);
}
