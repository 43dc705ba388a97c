import { createHash } from 'node:crypto';
import { isKvsiftError, KvsiftError } from '@kvsift/tensor';
import type { Sample, SampleOptions, Suite, TextTokenizer } from '../suite.js';
import type { SuiteSetting } from './config.js';

/** A task, or a row of one, whose data cannot be used. */
export interface TaskFailure {
  readonly suite: string;
  readonly task: string;
  readonly message: string;
}

/** What a suite will ask of one model, known before its weights are loaded. */
export interface SuitePlan {
  readonly setting: SuiteSetting;
  readonly suite: Suite;
  readonly profile: string;
  /** Tasks whose data are sound, with the number of samples. */
  readonly tasks: ReadonlyMap<string, number>;
  readonly failures: readonly TaskFailure[];
  readonly samplesHash: string;
  /** The sample with the longest text; undefined where there is none. */
  readonly longest: Sample | undefined;
  readonly stops: readonly string[];
  /** The samples of one task, again from the start. */
  samples(task: string): AsyncIterable<Sample>;
}

/**
 * Reads all samples of a suite once: counts them, takes their fingerprint, and finds data that cannot be used.
 * @throws KvsiftError of the suite where `onError` is 'stop'; `data_malformed` for two samples with one id
 */
export async function planSuite(
  suite: Suite,
  setting: SuiteSetting,
  tokenizer: TextTokenizer,
  options: { readonly seed: number; readonly onError: 'continue' | 'stop' },
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
  const tasks = new Map<string, number>();
  const failures: TaskFailure[] = [];
  let longest: Sample | undefined;
  const report = (task: string) => (error: Error) => {
    failures.push({ suite: suite.name, task, message: error.message });
  };
  for (const task of setting.tasks ?? suite.tasks) {
    const ids = new Set<string>();
    try {
      for await (const sample of samples(task, report(task))) {
        if (ids.has(sample.id)) {
          throw new KvsiftError('data_malformed', `${suite.name} ${task}: two samples have the id "${sample.id}"`, {
            id: sample.id,
          });
        }
        ids.add(sample.id);
        if (longest === undefined || lengthOf(sample) > lengthOf(longest)) longest = sample;
        hash.update(JSON.stringify(sample));
        for (const stop of sample.stop) stops.add(stop);
      }
      tasks.set(task, ids.size);
    } catch (error) {
      if (!skip || !isKvsiftError(error) || error.code === 'config_invalid') throw error;
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
    samples: (task) => samples(task),
  };
}

function lengthOf({ context, question }: Sample): number {
  return context.length + question.length;
}
