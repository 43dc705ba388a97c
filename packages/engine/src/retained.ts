import { KvsiftError, type KvView, type Tensor } from '@kvsift/tensor';

/** Positions of a layer's entries and of those that a policy holds, i32 [kvHeads, entries], ascending head by head. @throws KvsiftError `invalid_argument` where the view keeps no positions */
export async function readRetained(view: KvView, held?: Tensor): Promise<Int32Array[]> {
  if (view.positions === undefined) {
    throw new KvsiftError('invalid_argument', 'this cache keeps no positions: open the session with trackPositions');
  }
  const [positions, starts, lengths, table, before = new Int32Array()] = await Promise.all([
    view.positions.read(),
    view.starts.read(),
    view.lengths.read(),
    view.blocks?.table.read(),
    held?.read(),
  ]);
  const width = view.blocks?.table.shape[1] ?? 0;
  const count = before.length / view.kvHeads;
  const positionOf = (head: number, slot: number): number => {
    if (view.blocks === undefined || table === undefined) return positions[(starts[head] ?? 0) + slot] ?? 0;
    const { size } = view.blocks;
    const block = table[head * width + Math.floor(slot / size)] ?? 0;
    return positions[block * size + (slot % size)] ?? 0;
  };
  return Array.from({ length: view.kvHeads }, (_, head) => {
    const own = Array.from({ length: lengths[head] ?? 0 }, (__, slot) => positionOf(head, slot));
    return Int32Array.from([...before.subarray(head * count, (head + 1) * count), ...own]).sort();
  });
}
