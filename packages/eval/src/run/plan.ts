import { createHash } from 'node:crypto';
import { isKvsiftError, KvsiftError } from '@kvsift/tensor';
import type { Sample, SampleOptions, Suite, TextTokenizer } from '../suite.js';
import type { SuiteSetting } from './config.js';
import type { Turns } from './turns.js';

/** A task, or a row of one, whose data cannot be used. */
export interface TaskFailure {
  readonly suite: string;
  readonly task: string;
  readonly message: string;
}

/** What is known of a sample without its text. */
export interface SampleOutline {
  readonly id: string;
  readonly task: string;
  readonly characters: number;
  readonly maxNewTokens: number;
}

/** What a suite will ask of one model, known before its weights are loaded. */
export interface SuitePlan {
  readonly setting: SuiteSetting;
  readonly suite: Suite;
  readonly profile: string;
  /** Tasks whose data are sound, with their samples in order. */
  readonly tasks: ReadonlyMap<string, readonly SampleOutline[]>;
  readonly failures: readonly TaskFailure[];
  readonly samplesHash: string;
  /** The sample with the longest text; undefined where there is none. */
  readonly longest: Sample | undefined;
  readonly stops: readonly string[];
  /** The samples of one task, again from the start. */
  samples(task: string): AsyncIterable<Sample> | Iterable<Sample>;
}

/** Characters of samples that plans may keep, so that they need not be made again to run. */
export interface SampleRoom {
  characters: number;
}

/**
 * Reads all samples of a suite once: counts them, takes their fingerprint, finds data that cannot be used, and keeps what there is room for.
 * @throws KvsiftError of the suite where `onError` is 'stop'; `data_malformed` for two samples with one id; `aborted`
 */
export async function planSuite(
  suite: Suite,
  setting: SuiteSetting,
  tokenizer: TextTokenizer,
  options: { readonly seed: number; readonly onError: 'continue' | 'stop' },
  room: SampleRoom,
  turns: Turns,
): Promise<SuitePlan> {
  const { limit, promptTokens, profile = suite.profiles[0] ?? '' } = setting;
  if (!suite.profiles.includes(profile)) {
    throw new KvsiftError(
      'config_invalid',
      `expected a profile of ${suite.name} (${suite.profiles.join(', ')}), got "${profile}"`,
    );
  }
  const shared: Omit<SampleOptions, 'tasks'> = {
    seed: options.seed,
    tokenizer,
    ...(limit !== undefined && { limit }),
    ...(promptTokens !== undefined && { maxTokens: promptTokens }),
  };
  const skip = options.onError === 'continue';
  const samples = (task: string, onMalformed: SampleOptions['onMalformed'] = () => {}) =>
    suite.samples({ ...shared, tasks: [task], ...(skip && { onMalformed }) });
  const hash = createHash('sha256');
  const stops = new Set<string>();
  const tasks = new Map<string, readonly SampleOutline[]>();
  const held = new Map<string, readonly Sample[]>();
  const failures: TaskFailure[] = [];
  let longest: Sample | undefined;
  const report = (task: string) => (error: Error) => {
    failures.push({ suite: suite.name, task, message: error.message });
  };
  for (const task of setting.tasks ?? suite.tasks) {
    const outlines = new Map<string, SampleOutline>();
    const kept: Sample[] = [];
    let keptCharacters = 0;
    try {
      for await (const sample of samples(task, report(task))) {
        const { id, maxNewTokens } = sample;
        if (outlines.has(id)) {
          throw new KvsiftError('data_malformed', `${suite.name} ${task}: two samples have the id "${id}"`, { id });
        }
        const characters = lengthOf(sample);
        outlines.set(id, { id, task, characters, maxNewTokens });
        keptCharacters += characters;
        if (keptCharacters <= room.characters) kept.push(sample);
        else kept.length = 0;
        if (longest === undefined || characters > lengthOf(longest)) longest = sample;
        hash.update(JSON.stringify(sample));
        for (const stop of sample.stop) stops.add(stop);
        await turns.passOrStop();
      }
      tasks.set(task, [...outlines.values()]);
      if (keptCharacters <= room.characters) {
        held.set(task, kept);
        room.characters -= keptCharacters;
      }
    } catch (error) {
      if (!skip || !isKvsiftError(error) || error.code === 'config_invalid' || error.code === 'aborted') throw error;
      report(task)(error);
    }
  }
  return {
    setting,
    suite,
    profile,
    tasks,
    failures,
    longest,
    samplesHash: hash.digest('hex').slice(0, 16),
    stops: [...stops],
    samples: (task) => held.get(task) ?? samples(task),
  };
}

function lengthOf({ context, question }: Sample): number {
  return context.length + question.length;
}
