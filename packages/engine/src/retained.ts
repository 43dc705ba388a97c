import { KvsiftError, type KvView } from '@kvsift/tensor';

/** Positions of a layer's entries, head by head. @throws KvsiftError `invalid_argument` where the view keeps no positions */
export async function readRetained(view: KvView): Promise<Int32Array[]> {
  if (view.positions === undefined) {
    throw new KvsiftError('invalid_argument', 'this cache keeps no positions: open the session with trackPositions');
  }
  const [positions, starts, lengths, table] = await Promise.all([
    view.positions.read(),
    view.starts.read(),
    view.lengths.read(),
    view.blocks?.table.read(),
  ]);
  const width = view.blocks?.table.shape[1] ?? 0;
  return Array.from({ length: view.kvHeads }, (_, head) =>
    Int32Array.from({ length: lengths[head] ?? 0 }, (_, slot) => {
      if (view.blocks === undefined || table === undefined) return positions[(starts[head] ?? 0) + slot] ?? 0;
      const { size } = view.blocks;
      const block = table[head * width + Math.floor(slot / size)] ?? 0;
      return positions[block * size + (slot % size)] ?? 0;
    }),
  );
}
