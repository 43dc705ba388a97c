import type { HostArray, KvStorage, KvView } from '@kvsift/tensor';
import { LayerBuffers } from './buffers.js';
import { ContiguousLayer } from './contiguous.js';
import type { LayerCache, LayerShape } from './layer.js';

/** All entries of a layer on the host: heads back to back, in the cache's dtype. */
export interface LayerDump {
  /** [entries, headDim] */
  readonly keys: HostArray;
  readonly values: HostArray;
  /** [entries]; present where the layer keeps positions. */
  readonly positions?: Int32Array;
  /** [kvHeads] */
  readonly lengths: Int32Array;
}

/** Copies a layer to the host, whatever its layout. */
export async function dumpLayer(storage: KvStorage, shape: LayerShape, view: KvView): Promise<LayerDump> {
  const lengths = (await view.lengths.read()) as Int32Array;
  using packed = new ContiguousLayer('flattened', storage, shape, 0);
  packed.fill(view, lengths);
  const { keys, values, positions } = packed.view;
  const [keyData, valueData, positionData] = await Promise.all([keys.read(), values.read(), positions?.read()]);
  return { keys: keyData, values: valueData, lengths, ...(positionData && { positions: positionData as Int32Array }) };
}

/** Fills an empty layer from a dump of equal dtype and sizes. */
export function restoreLayer(layer: LayerCache, storage: KvStorage, shape: LayerShape, dump: LayerDump): void {
  const { backend, dtype } = storage;
  const { lengths } = dump;
  let rows = 0;
  const starts = lengths.map((length) => {
    rows += length;
    return rows - length;
  });
  const buffers = new LayerBuffers(
    backend.upload(dump.keys, dtype, [rows, shape.headDim]),
    backend.upload(dump.values, dtype, [rows, shape.headDim]),
    dump.positions && backend.upload(dump.positions, 'i32', [rows]),
    backend.upload(starts, 'i32', [lengths.length]),
    backend.upload(lengths, 'i32', [lengths.length]),
  );
  const longest = Math.max(0, ...lengths);
  layer.fill(
    buffers.view(
      storage,
      shape,
      longest,
      lengths.every((length) => length === longest),
    ),
    lengths,
  );
  buffers.release();
}
