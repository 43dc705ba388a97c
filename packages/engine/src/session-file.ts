import { dumpLayer, type KvCache, type LayerDump, restoreLayer } from '@kvsift/cache';
import type { RunState } from '@kvsift/policy';
import {
  type Backend,
  blockLayout,
  type HostArray,
  KvsiftError,
  type KvType,
  type StoredTensor,
  type Tensor,
} from '@kvsift/tensor';
import { openWeights, type TensorToWrite, type WeightFile, writeSafetensors } from '@kvsift/weights';
import { z } from 'zod';

const version = 2;

/** What a saved session is of; all of it must match where it is restored. */
export interface SessionIdentity {
  /** `modelFingerprint` */
  readonly model: string;
  /** Policy expression, or `none`. */
  readonly policy: string;
  readonly kvType: KvType;
}

/** Where the text stands. */
const progressSchema = z.object({
  seen: z.number().int().min(0),
  nextPosition: z.number().int().min(0),
  ropeLength: z.number().int().min(0),
  unfed: z.array(z.number().int().min(0)),
  generated: z.number().int().min(0),
  promptLength: z.number().int().min(0),
  renumbered: z.boolean(),
  /** Numbers of a policy that works on while tokens are decoded; null where the prompt was all it had to do with. */
  run: z.record(z.string(), z.number()).nullable(),
});
export type SessionProgress = z.infer<typeof progressSchema>;

/** What a file holds. Rows of `q8_0` are bytes to the format, which has no blocks: the only bytes there are. */
type FileType = KvType | 'i32';

const typeNames: Readonly<Record<FileType, TensorToWrite['dtype']>> = {
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
  i32: 'I32',
  q8_0: 'U8',
};

/** Before the names of a policy's tensors. */
const runPrefix = 'run.';

/** Writes a cache, and what a policy at work has gathered, to a safetensors file: all of it or, where writing fails, nothing. */
export async function writeSessionFile(
  path: string,
  identity: SessionIdentity,
  progress: SessionProgress,
  cache: KvCache,
  logits: Float32Array | undefined,
  run: Readonly<Record<string, Tensor>>,
): Promise<void> {
  const { storage, layers } = cache.options;
  const tensors: TensorToWrite[] = [];
  const add = (name: string, type: FileType, shape: readonly number[], data: HostArray) => {
    tensors.push({ name, dtype: typeNames[type], shape: type === 'q8_0' ? scaled(shape, 34 / 32) : shape, data });
  };
  for (const [index, shape] of layers.entries()) {
    const { keys, values, positions, lengths } = await dumpLayer(cache.storageOf(index), shape, cache.layer(index).view);
    const rows = lengths.reduce((sum, length) => sum + length, 0);
    add(`layers.${index}.keys`, storage.dtype, [rows, shape.headDim], keys);
    add(`layers.${index}.values`, storage.dtype, [rows, shape.headDim], values);
    add(`layers.${index}.lengths`, 'i32', [shape.kvHeads], lengths);
    if (positions) add(`layers.${index}.positions`, 'i32', [rows], positions);
  }
  for (const [name, tensor] of Object.entries(run)) {
    const type = tensor.dtype;
    if (!isFileType(type))
      throw new KvsiftError('unsupported', `a session file cannot hold ${name} of the policy, which is ${type}`, { name });
    add(`${runPrefix}${name}`, type, tensor.shape, await tensor.read());
  }
  if (logits) add('logits', 'f32', [logits.length], logits);
  const facts = { format: 'kvsift-session', version: String(version), ...identity, progress: JSON.stringify(progress) };
  await writeSafetensors(path, tensors, facts);
}

/**
 * Fills an empty cache from a session file.
 * @throws KvsiftError `cache_mismatch` naming what differs; `file_malformed`, `file_not_found`
 */
export async function readSessionFile(
  path: string,
  identity: SessionIdentity,
  cache: KvCache,
): Promise<{ progress: SessionProgress; logits?: Float32Array; run?: RunState }> {
  const file = await openWeights(path);
  const facts = file.metadata;
  if (facts.get('format') !== 'kvsift-session')
    throw new KvsiftError('cache_mismatch', `${path} is not a saved session`, { path });
  const expected = { version: String(version), ...identity };
  for (const [name, value] of Object.entries(expected)) {
    const found = facts.get(name);
    if (found === value) continue;
    throw new KvsiftError('cache_mismatch', `${path} was saved with ${name} ${String(found)}, this session has ${value}`, {
      path,
      name,
      found,
      value,
    });
  }
  const progress = parseProgress(path, facts.get('progress'));
  const { storage, layers } = cache.options;
  const dumps: LayerDump[] = [];
  for (const [index, shape] of layers.entries())
    dumps.push(await readLayer(path, file, index, shape.kvHeads, shape.headDim, shape.positions, storage.dtype));
  for (const [index, dump] of dumps.entries()) {
    const shape = layers[index];
    if (shape) restoreLayer(cache.layer(index), cache.storageOf(index), shape, dump);
  }
  cache.seen = progress.seen;
  cache.nextPosition = progress.nextPosition;
  const stored = file.tensors.get('logits');
  const run = progress.run && { numbers: progress.run, tensors: await readRun(path, file, storage.backend) };
  return { progress, ...(stored && { logits: await file.readFloat32(stored) }), ...(run && { run }) };
}

/** Tensors of a policy at work, owned by the caller. */
async function readRun(path: string, file: WeightFile, backend: Backend): Promise<Record<string, Tensor>> {
  const tensors: Record<string, Tensor> = {};
  for (const [name, stored] of file.tensors) {
    if (!name.startsWith(runPrefix)) continue;
    const { type, shape } = held(stored);
    if (!isFileType(type)) throw new KvsiftError('file_malformed', `${path}: ${name} is ${type}`, { path, name });
    tensors[name.slice(runPrefix.length)] = backend.upload(await readHost(file, stored, type), type, shape);
  }
  return tensors;
}

async function readHost(file: WeightFile, stored: StoredTensor, type: FileType): Promise<HostArray> {
  const { buffer } = (await file.readBytes(stored)).slice();
  if (type === 'i32') return new Int32Array(buffer);
  if (type === 'q8_0') return new Uint8Array(buffer);
  return blockLayout(type).bytes === 4 ? new Float32Array(buffer) : new Uint16Array(buffer);
}

/** A tensor of a file as it was before it was written. */
function held({ dtype, shape }: StoredTensor): { readonly type: string; readonly shape: readonly number[] } {
  return dtype === 'u8' ? { type: 'q8_0', shape: scaled(shape, 32 / 34) } : { type: dtype, shape };
}

/** A shape with another number of columns. */
function scaled(shape: readonly number[], factor: number): number[] {
  return [...shape.slice(0, -1), Math.round((shape.at(-1) ?? 0) * factor)];
}

function isFileType(type: string): type is FileType {
  return type in typeNames;
}

function parseProgress(path: string, text: unknown): SessionProgress {
  try {
    return progressSchema.parse(JSON.parse(String(text)));
  } catch (error) {
    throw new KvsiftError('file_malformed', `${path}: progress: expected where the text stands`, { path }, { cause: error });
  }
}

async function readLayer(
  path: string,
  file: WeightFile,
  index: number,
  kvHeads: number,
  headDim: number,
  positions: boolean,
  dtype: KvType,
): Promise<LayerDump> {
  const read = async (part: string, type: FileType, shape: readonly number[]): Promise<HostArray> => {
    const name = `layers.${index}.${part}`;
    const stored = file.tensor(name);
    const found = held(stored);
    if (found.type !== type || found.shape.join() !== shape.join()) {
      throw new KvsiftError(
        'cache_mismatch',
        `${path}: ${name} is ${found.type} [${found.shape.join(', ')}], expected ${type} [${shape.join(', ')}]`,
        { path, name },
      );
    }
    return readHost(file, stored, type);
  };
  const lengths = (await read('lengths', 'i32', [kvHeads])) as Int32Array;
  if (lengths.some((length) => length < 0))
    throw new KvsiftError('file_malformed', `${path}: layers.${index}.lengths: a negative length`, { path });
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  return {
    lengths,
    keys: await read('keys', dtype, [rows, headDim]),
    values: await read('values', dtype, [rows, headDim]),
    ...(positions && { positions: (await read('positions', 'i32', [rows])) as Int32Array }),
  };
}
