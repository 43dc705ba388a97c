import { setImmediate } from 'node:timers/promises';
import { type KvCache, restoreLayer } from '@kvsift/cache';
import type { ModelShape, PolicyRun, RunMemory } from '@kvsift/policy';
import { isKvsiftError, KvsiftError } from '@kvsift/tensor';
import { malformed } from './saved-layers.js';
import type { SavedSession } from './session-file.js';
import type { SessionModel } from './session-options.js';

/** A policy that has begun for a session that was saved. */
export interface Begun {
  readonly run: PolicyRun | undefined;
  /** What a file must hold of it; undefined where the prompt was all it had to do with. */
  readonly memory: RunMemory | undefined;
}

/**
 * Fills an empty cache and a policy's run from what was saved; neither is touched before all of it fits.
 * @param begin starts the session's policy for a prompt of that length
 * @throws KvsiftError `file_malformed` naming what does not fit the model, the policy or the cache
 */
export async function restoreSaved(
  path: string,
  saved: SavedSession,
  cache: KvCache,
  model: SessionModel,
  shape: ModelShape,
  begin: (promptLength: number) => Begun,
): Promise<void> {
  const { progress, layers } = saved;
  const demand = (holds: boolean, name: keyof typeof progress, expected: string) => {
    if (!holds) throw malformed(path, name, `is ${JSON.stringify(progress[name])}`, expected);
  };
  const { contextLength, decoder } = model;
  const upTo = `1 to ${contextLength}, the length of the context`;
  demand(progress.nextPosition + progress.unfed.length <= contextLength, 'nextPosition', upTo);
  demand(progress.ropeLength <= contextLength, 'ropeLength', upTo);
  demand(
    progress.unfed.every((id) => id < decoder.config.vocabulary),
    'unfed',
    `ids below ${decoder.config.vocabulary}`,
  );
  demand(progress.promptLength <= contextLength, 'promptLength', upTo);
  const { run, memory } = begin(progress.promptLength);
  const next = run?.nextPosition === 'kept' ? Math.max(...layers.lengths) : progress.seen;
  demand(progress.nextPosition === next, 'nextPosition', `${next}, behind what the cache holds`);
  demand(
    (saved.run === undefined) === (memory === undefined),
    'run',
    `${memory ? 'what' : 'nothing that'} the policy has gathered`,
  );
  const { storage, layers: shapes } = cache.options;
  if (memory && saved.run) {
    const standing = { model: shape, kvType: storage.dtype, seen: progress.seen, lengths: layers.lengths };
    const { run: state } = saved;
    await naming(`${path}: run.`, path, () => memory.check(state, standing));
  }
  for (const [index, dump] of layers.dumps.entries()) {
    const layer = shapes[index];
    if (layer === undefined) continue;
    // Uploads are copies on this thread: other work has its turn between two layers.
    await setImmediate();
    await naming(`${path}: layer ${index}: `, path, () => restoreLayer(cache.layer(index), cache.storageOf(index), layer, dump));
  }
  cache.seen = progress.seen;
  cache.nextPosition = progress.nextPosition;
  cache.numberedAnew = run?.nextPosition === 'kept';
  if (!(memory && saved.run)) return;
  const tensors = Object.entries(saved.run.tensors).map(
    ([name, { data, dtype, shape: own }]) => [name, storage.backend.upload(data, dtype, own)] as const,
  );
  await memory.restore({ numbers: saved.run.numbers, tensors: Object.fromEntries(tensors) });
}

/** Says in front of what goes wrong where in which file. */
async function naming(place: string, path: string, work: () => void | Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isKvsiftError(error)) throw error;
    throw new KvsiftError(error.code, `${place}${error.message}`, { ...error.details, path }, { cause: error });
  }
}
