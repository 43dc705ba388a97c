import { chooseProfile, chooseTasks, groupByTask, type Sample, type Suite } from '@kvsift/eval';
import { buildPrompt, TASK_FACTS } from '@kvsift/eval-infinitebench';
import { KvsiftError } from '@kvsift/tensor';
import { drawKey, KEY_GRIDS, type KeyGrid, type KeyTask, keyPrompt } from './key-lines.js';
import { LANDMARK_LENGTHS, LANDMARK_SEEDS, landmarkPrompt } from './landmark.js';

const NAME = 'passkey';
/** Tokens for five digits with any tokenizer, and a little more. */
const LANDMARK_NEW_TOKENS = 10;
const TASKS = ['landmark', 'passkey', 'number_string'] as const;
const PROFILES = ['first-integer'] as const;

/** Settings of {@link passkeyRetrieval}. */
export interface PasskeyOptions {
  /** Characters of garbage in the landmark form. Default: the 32 published lengths. */
  readonly landmarkLengths?: readonly number[];
  /** Seeds per length of the landmark form. Default: 0 … 9. */
  readonly landmarkSeeds?: readonly number[];
  /** Depths and size of the two InfiniteBench forms: a published grid or one's own. Default `128k`. */
  readonly grid?: keyof typeof KEY_GRIDS | KeyGrid;
}

function* landmarkSamples({
  landmarkLengths = LANDMARK_LENGTHS,
  landmarkSeeds = LANDMARK_SEEDS,
}: PasskeyOptions): Generator<Sample> {
  for (const garbage of landmarkLengths) {
    for (const seed of landmarkSeeds) {
      const { context, question, answerPrefix, passKey, prefixLength } = landmarkPrompt(garbage, seed);
      yield {
        id: `${garbage}-${seed}`,
        task: 'landmark',
        context,
        question,
        answerPrefix,
        maxNewTokens: LANDMARK_NEW_TOKENS,
        stop: [],
        chat: 'never',
        expected: String(passKey),
        meta: { length: garbage, depth: (100 * prefixLength) / garbage },
      };
    }
  }
}

function* keySamples(task: KeyTask, { lines, step, keysPerDepth }: KeyGrid, seed: number): Generator<Sample> {
  let index = 0;
  for (let before = 0; before <= lines; before += step) {
    for (let i = 0; i < keysPerDepth; i++, index++) {
      const key = drawKey(task, seed, index);
      const row = { position: index, options: [], label: key, ...keyPrompt(task, key, before, lines - before) };
      yield {
        id: String(index),
        task,
        ...buildPrompt(task, row),
        maxNewTokens: TASK_FACTS[task].maxNewTokens,
        stop: [],
        chat: 'never',
        expected: key,
        meta: { length: lines, depth: (100 * before) / lines },
      };
    }
  }
}

/**
 * Passkey retrieval in its published forms: `landmark` (Landmark Attention, LongLoRA, l2compress: the very prompts) and the `passkey` and
 * `number_string` forms of InfiniteBench (same text, own keys). Right is whoever names the key as the first integer of the answer; the
 * landmark runners compare token ids instead, see `matchesLandmarkIds`.
 */
export function passkeyRetrieval(options: PasskeyOptions = {}): Suite {
  const { grid = '128k' } = options;
  const keyGrid: KeyGrid = typeof grid === 'string' ? KEY_GRIDS[grid] : grid;
  if (!(keyGrid.lines >= 0 && keyGrid.step > 0)) {
    throw new KvsiftError('config_invalid', `expected a passkey grid with lines ≥ 0 and step > 0, got ${JSON.stringify(grid)}`);
  }
  return {
    name: NAME,
    tasks: TASKS,
    profiles: PROFILES,
    async *samples({ tasks, limit = Infinity, seed = 42 } = {}) {
      for (const task of chooseTasks(NAME, TASKS, tasks)) {
        let count = 0;
        for (const sample of task === 'landmark' ? landmarkSamples(options) : keySamples(task, keyGrid, seed)) {
          if (count++ >= limit) break;
          yield sample;
        }
      }
    },
    score({ expected }, prediction, wanted) {
      chooseProfile(NAME, PROFILES, wanted);
      return Number((/[0-9]+/.exec(prediction)?.[0] ?? '') === expected);
    },
    aggregate: (results) =>
      [...groupByTask(results)].map(([task, group]) => ({
        task,
        metrics: {
          accuracy: group.reduce((sum, { score }) => sum + (typeof score === 'number' ? score : 0), 0) / group.length,
          n: group.length,
        },
      })),
  };
}
