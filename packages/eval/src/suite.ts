import type { JsonValue, MalformedRow, TextTokenizer } from '@kvsift/eval-text';

export type { JsonValue, MalformedRow, TextTokenizer };

/** One prompt to run: `context + question + answerPrefix` is its text. */
export interface Sample {
  /** Unique within its task, stable from run to run. */
  readonly id: string;
  readonly task: string;
  /** What may be compressed before the question is known (query-agnostic runs); begins with the template's own first words. */
  readonly context: string;
  readonly question: string;
  /** Begins the answer: text that the model continues, after the header of the assistant's turn where a chat template is used. */
  readonly answerPrefix?: string;
  /** Most tokens to generate. */
  readonly maxNewTokens: number;
  /** Tokens before which end-of-text does not end the answer. Default 0. */
  readonly minNewTokens?: number;
  /** Texts at whose first occurrence the answer ends. */
  readonly stop: readonly string[];
  /** `allowed`: the run may wrap `context + question` as a user's turn of the model's chat template; `never`: plain completion. */
  readonly chat: 'allowed' | 'never';
  /** What the scorer compares with, in the suite's own form; stored with the result so that a run can be scored again. */
  readonly expected: JsonValue;
  /** Facts for tables and pictures: length, depth, bucket, ... */
  readonly meta?: Readonly<Record<string, JsonValue>>;
}

/** A prediction on which the reference of a profile raises. */
export interface ScoreFailure {
  /** Name of the Python exception, for instance `ValueError`. */
  readonly error: string;
  readonly message: string;
}

/** 0 (wrong) … 1 (right), or the failure of the profile's reference. */
export type Score = number | ScoreFailure;

/** Which samples a run asks for. Each suite documents which of the optional fields it needs. */
export interface SampleOptions {
  /** Tasks in the order wanted. Default: all of the suite. */
  readonly tasks?: readonly string[];
  /** Most samples per task. Default: all there are (or the suite's published number, for generators). */
  readonly limit?: number;
  /** Seed of generated samples. Default 42. */
  readonly seed?: number;
  /** Tokenizer of the evaluated model, without special tokens: for truncation and for prompts of a given length. */
  readonly tokenizer?: TextTokenizer;
  /** Most tokens of the prompt; longer ones are cut as the suite's reference does. Default: never cut. */
  readonly maxTokens?: number;
  /** Told of each data row that cannot be used (file and line are in the error), which is then left out. Default: the first one is thrown. */
  readonly onMalformed?: MalformedRow;
}

/** A finished sample, as aggregation needs it. */
export interface ScoredSample {
  readonly task: string;
  readonly prediction: string;
  readonly score: Score;
  readonly meta?: Readonly<Record<string, JsonValue>>;
}

/** Numbers of one task in the suite's own scale (0 … 100 where its tables say so); null where there is none, such as an empty bucket. */
export interface TaskSummary {
  readonly task: string;
  readonly metrics: Readonly<Record<string, number | null>>;
}

/** Data source, prompt builder, generation limits and metric of one benchmark. Holds no state between samples. */
export interface Suite {
  readonly name: string;
  readonly tasks: readonly string[];
  /** Names of the scoring rules, the default first. `fixed` is ours, the others reproduce the source that they are named after. */
  readonly profiles: readonly string[];
  /** Samples in a fixed order, made or read as they are asked for. @throws KvsiftError for missing or malformed data (with file and line) and for tasks that the suite lacks, before the first sample where possible */
  samples(options?: SampleOptions): AsyncIterable<Sample>;
  /** Scores a text that a model gave as the answer to a sample. @throws KvsiftError `config_invalid` for an unknown profile or task */
  score(sample: Pick<Sample, 'task' | 'expected'>, prediction: string, profile?: string): Score;
  /** One summary per task, in the order of first appearance. Without it a table shows the plain mean of the scores. */
  aggregate?(results: readonly ScoredSample[], profile?: string): TaskSummary[];
}
