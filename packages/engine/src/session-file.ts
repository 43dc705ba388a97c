import { dumpLayer, type KvCache } from '@kvsift/cache';
import { type EvictionPolicy, formatPolicy, type SavedState } from '@kvsift/policy';
import { type DType, type HostArray, KvsiftError, type KvType, type Tensor } from '@kvsift/tensor';
import { openWeights, type WeightFile, writeSafetensors } from '@kvsift/weights';
import { z } from 'zod';
import { layerDumps, malformed, type SavedLayers } from './saved-layers.js';
import { type Content, digestOf, type FileType, firstNotFinite, fromFile, isFileType, toFile } from './session-content.js';
import type { SessionModel } from './session-options.js';

const version = 3;

/** What a saved session is of; all of it must match where it is restored. */
export interface SessionIdentity {
  /** `modelFingerprint` */
  readonly model: string;
  /** Policy expression, or `none`. */
  readonly policy: string;
  readonly kvType: KvType;
}

/** What a session that is saved or restored is of. */
export async function sessionIdentity(
  model: Pick<SessionModel, 'fingerprint'>,
  policy: EvictionPolicy | undefined,
  kvType: KvType,
): Promise<SessionIdentity> {
  return { model: await model.fingerprint(), policy: policy === undefined ? 'none' : formatPolicy(policy), kvType };
}

const count = z.number().int().min(0);

/** Where the text stands. */
const progressSchema = z.strictObject({
  seen: count.min(1),
  nextPosition: count.min(1),
  ropeLength: count.min(1),
  unfed: z.array(count),
  generated: count,
  promptLength: count.min(1),
  /** Numbers of a policy that works on while tokens are decoded; null where the prompt was all it had to do with. */
  run: z.record(z.string(), z.number()).nullable(),
});
export type SessionProgress = z.infer<typeof progressSchema>;

/** Before the names of a policy's tensors. */
const runPrefix = 'run.';

/**
 * Writes a cache, and what a policy at work has gathered, to a safetensors file: all of it or, where writing fails, nothing.
 * @throws KvsiftError `unsupported` naming what is infinite or no number, which `readSessionFile` would refuse
 */
export async function writeSessionFile(
  path: string,
  identity: SessionIdentity,
  progress: SessionProgress,
  cache: KvCache,
  logits: Float32Array | undefined,
  run: Readonly<Record<string, Tensor>>,
): Promise<void> {
  const { storage, layers } = cache.options;
  const content = new Map<string, Content>();
  const add = (name: string, dtype: FileType, shape: readonly number[], data: HostArray) =>
    content.set(name, { dtype, shape, data });
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
  for (const [name, tensor] of content) await demandNumbers(name, tensor);
  await writeContent(path, { ...identity, progress: JSON.stringify(progress) }, content);
}

/** @throws KvsiftError `unsupported` */
async function demandNumbers(name: string, tensor: Content): Promise<void> {
  const at = await firstNotFinite(tensor);
  if (at < 0) return;
  const { dtype } = tensor;
  const wider = dtype === 'f16' || dtype === 'q8_0' ? `; kvType bf16 and f32 take larger numbers than ${dtype}` : '';
  throw new KvsiftError(
    'unsupported',
    `this session cannot be saved: ${name} holds no finite number at ${at}, and a file of it could not be restored${wider}`,
    { name, at },
  );
}

/** @internal `writeSessionFile` of what is on the host already. */
export async function writeContent(
  path: string,
  facts: Readonly<Record<string, string>>,
  content: ReadonlyMap<string, Content>,
): Promise<void> {
  const tensors = [...content].map(([name, held]) => ({ name, ...toFile(held) }));
  const digest = await digestOf(facts.progress ?? '', content);
  await writeSafetensors(path, tensors, { format: 'kvsift-session', version: String(version), ...facts, digest });
}

/** What a session file says, all of it sound. */
export interface SavedSession {
  readonly progress: SessionProgress;
  readonly layers: SavedLayers;
  readonly logits?: Float32Array;
  /** What the policy at work had gathered; its own memory has yet to look at it. */
  readonly run?: SavedState;
}

/**
 * Reads a session file for a cache of these options.
 * @throws KvsiftError `cache_mismatch` naming what differs; `file_malformed` naming what cannot be, `file_not_found`
 */
export async function readSessionFile(
  path: string,
  identity: SessionIdentity,
  cache: KvCache,
  vocabulary: number,
): Promise<SavedSession> {
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
  const text = String(facts.get('progress'));
  const content = await readContent(path, file);
  if ((await digestOf(text, content)) !== facts.get('digest'))
    throw malformed(path, 'its contents', 'are not those that were saved', 'a file that nobody has changed');
  const progress = parseProgress(path, text);
  const layers = await layerDumps(path, content, cache.options, progress.seen);
  const logits = content.get('logits');
  if (logits !== undefined && (logits.dtype !== 'f32' || logits.shape.join() !== String(vocabulary)))
    throw malformed(path, 'logits', `are ${logits.dtype} [${logits.shape.join(', ')}]`, `f32 [${vocabulary}]`);
  const tensors = Object.fromEntries(
    [...content].flatMap(([name, held]) => (name.startsWith(runPrefix) ? [[name.slice(runPrefix.length), held]] : [])),
  );
  const run = progress.run && { numbers: progress.run, tensors };
  const known = (name: string) => name === 'logits' || layers.names.has(name) || (run !== null && name.startsWith(runPrefix));
  const other = [...content.keys()].find((name) => !known(name));
  if (other !== undefined) throw malformed(path, other, 'is unknown', 'nothing of that name');
  return { progress, layers, ...(logits && { logits: logits.data as Float32Array }), ...(run && { run }) };
}

/** All tensors of a file as they were before they were written. */
async function readContent(path: string, file: WeightFile): Promise<Map<string, Content>> {
  const content = new Map<string, Content>();
  for (const [name, stored] of file.tensors) {
    const held = fromFile(stored.dtype, stored.shape, await file.readBytes(stored));
    if (held === undefined) throw malformed(path, name, `is ${stored.dtype satisfies DType}`, 'a type of session files');
    content.set(name, held);
  }
  for (const [name, type] of file.unsupported) throw malformed(path, name, `is ${type}`, 'a type of session files');
  return content;
}

function parseProgress(path: string, text: string): SessionProgress {
  try {
    return progressSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new KvsiftError('file_malformed', `${path}: progress: expected where the text stands`, { path }, { cause: error });
  }
}
