import { KvCache } from '@kvsift/cache';
import type { DecoderModel } from '@kvsift/models';
import { KvsiftError, type Tensor } from '@kvsift/tensor';
import { type Branch, type PrefillOptions, prefill } from './prefill.js';
import { readPrompt } from './segments.js';
import type { Session } from './session.js';
import type { PrefillInput } from './session-options.js';

interface Waiting {
  readonly branch: Branch;
  readonly ids: Int32Array;
  readonly options: PrefillOptions;
  readonly resolve: (last: Tensor) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Reads one prompt for several fresh sessions in one pass: a layer's output at prefill does not depend on what is evicted afterwards, so each session
 * ends as if it had read the prompt alone. Sweeps over policies and budgets pay for one prefill.
 * @param sessions of one model, with equal `kvType`, `layout`, `blockSize` and `trackPositions`; nothing read yet
 * @throws KvsiftError `invalid_argument` where the sessions differ or have read something; what `Session.prefill` throws
 */
export async function prefillMany(
  decoder: DecoderModel,
  sessions: readonly Session[],
  input: string | readonly number[] | Int32Array,
  options: PrefillInput = {},
): Promise<void> {
  const waiting: Waiting[] = [];
  let alone = 0;
  const readings = sessions.map((session) => {
    demandEqual(session, sessions[0] ?? session);
    return session.read(input, options, (branch, ids, rest) => {
      // Its second part comes after an eviction: nobody else reads that.
      if (branch.run?.segments !== undefined) {
        alone++;
        return readPrompt(decoder, branch, ids, rest);
      }
      return new Promise<Tensor>((resolve, reject) => waiting.push({ branch, ids, options: rest, resolve, reject }));
    });
  });
  const sibling = new Error('another session refused the prompt');
  const [first] = waiting;
  if (first === undefined || waiting.length + alone < sessions.length) for (const { reject } of waiting) reject(sibling);
  else await readAll(decoder, first, waiting);
  const outcomes = await Promise.allSettled(readings);
  const refused = outcomes.find((outcome) => outcome.status === 'rejected' && outcome.reason !== sibling);
  if (refused?.status === 'rejected') throw refused.reason;
}

async function readAll(decoder: DecoderModel, first: Waiting, waiting: readonly Waiting[]): Promise<void> {
  const { backend } = decoder;
  using cache = new KvCache(first.branch.cache.options);
  try {
    const branches = waiting.map(({ branch }) => branch);
    using last = await prefill(decoder, cache, first.ids, { ...first.options, branches });
    for (const { resolve } of waiting) resolve(backend.reshape(last, last.shape));
  } catch (error) {
    for (const { reject } of waiting) reject(error);
  }
}

function demandEqual(one: Session, other: Session): void {
  const [mine, theirs] = [one, other].map(({ cache, length }) => {
    const { layout, blockSize, storage, layers } = cache.options;
    return JSON.stringify([layout, blockSize, storage.dtype, layers[0]?.positions, length]);
  });
  if (mine === theirs && one.length === 0) return;
  throw new KvsiftError(
    'invalid_argument',
    'sessions that read a prompt together must be fresh and have the same kvType, layout, blockSize and trackPositions',
  );
}
