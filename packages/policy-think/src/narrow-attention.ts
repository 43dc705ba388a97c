import type { AttentionShape, Backend, Formula, Tensor } from '@kvsift/tensor';
import { gatherChannels, type NarrowKeys, readStored } from './channels.js';

/** Query rows whose logits exist at one time: memory stays linear in the entries. */
const rowsAtOnce = 64;

interface Attended {
  /** f32 [rows, queryHeads · headDim] */
  readonly output: Tensor;
  /** f32 [rows, queryHeads] */
  readonly logSumExp: Tensor;
}

/**
 * Attention of rotated query rows f32 [rows, queryHeads · headDim], all later than the entries, over keys with pruned channels: logits are sums over
 * the kept channels, times the whole scale (specification 27).
 */
export function attendNarrow(
  backend: Backend,
  q: Tensor,
  narrow: NarrowKeys,
  shape: Pick<AttentionShape, 'scale' | 'softcap'>,
): Attended {
  const [rows = 0] = q.shape;
  const parts: Attended[] = [];
  for (let start = 0; start < rows; start += rowsAtOnce) {
    const part = rows <= rowsAtOnce ? q : backend.slice(q, 0, start, Math.min(rows, start + rowsAtOnce));
    parts.push(attendRows(backend, part, narrow, shape));
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
  { keys, values, channels }: NarrowKeys,
  { scale, softcap }: Pick<AttentionShape, 'scale' | 'softcap'>,
): Attended {
  const [rows = 0, columns = 0] = q.shape;
  const kvHeads = (channels.offsets.shape[0] ?? 1) - 1;
  const headDim = values.shape[1] ?? 0;
  const group = columns / headDim / kvHeads;
  const queries = backend.reshape(backend.transpose(backend.reshape(q, [rows, kvHeads, group, headDim]), [1, 0, 2, 3]), [
    kvHeads,
    rows * group,
    headDim,
  ]);
  const products = backend.matmul(gatherChannels(backend, queries, channels), readStored(backend, keys, kvHeads), {
    transposeB: true,
  });
  const scaled = backend.zip(products, scale, 'mul');
  const logits = softcap === undefined ? scaled : backend.softcap(scaled, softcap);
  const most = backend.reduce(logits, 2, 'max');
  const height = backend.reshape(most, [kvHeads, rows * group, 1]);
  const weights = backend.evaluate(['exp', ['sub', logits, height]]);
  const sums = backend.reduce(weights, 2, 'sum');
  const mixed = backend.matmul(weights, readStored(backend, values, kvHeads));
  const output = backend.zip(mixed, backend.reshape(sums, [kvHeads, rows * group, 1]), 'div');
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
