import type { Budget, EvictionPolicy } from '@kvsift/policy';
import type { JsonValue, TextTokenizer } from '../suite.js';

/** What is kept of the context. Without a policy: everything. */
export interface CacheSetting {
  readonly policy?: EvictionPolicy;
  readonly budget?: Budget;
  /** Seed of random policies. */
  readonly seed: number;
  /** Number of the sample: random policies draw other numbers for each. */
  readonly sequence: number;
}

/** What follows the context once it has been read and evicted. */
export interface Question {
  /** Empty where the question is part of the context (query-aware). */
  readonly text: string;
  readonly maxNewTokens: number;
  /** Tokens before which end-of-text does not end the answer. */
  readonly minNewTokens?: number;
  readonly stop: readonly string[];
}

/** A context and the questions about it, under one treatment of the cache. */
export interface AnswerRequest {
  readonly context: string;
  /** Put the tokenizer's BOS before the context; false where a chat template wrote it. */
  readonly addSpecial: boolean;
  /** Asked one after the other about the same compressed context, each as if it were the only one. */
  readonly questions: readonly Question[];
  readonly setting: CacheSetting;
  /** Tell with the first answer which tokens each layer kept. */
  readonly retention?: boolean;
  readonly signal?: AbortSignal;
  /** Share of the context that has been read, 0 … 1. */
  readonly onProgress?: (share: number) => void;
}

/** Which tokens of a context were kept. */
export interface Retention {
  readonly kvHeads: number;
  /** Text of each token of the context. */
  readonly tokens: readonly string[];
  /** Per layer, per token: how many KV heads kept it. */
  readonly layers: readonly (readonly number[])[];
}

/** An answer, and what it cost. */
export interface EngineAnswer {
  readonly text: string;
  /** Tokens of the context. */
  readonly contextTokens: number;
  readonly generatedTokens: number;
  /** Bytes that the allocator holds for the cache once the context has been read and evicted. */
  readonly cacheBytes: number;
  /** Seconds from the first token of the context to its eviction in the last layer. */
  readonly prefillSeconds: number;
  /** Seconds from there to the first generated token: reading a question that follows the context is among them. */
  readonly firstTokenSeconds: number;
  /** Seconds from the first generated token to the last, and how many tokens lie between: speed without the first token's latency. */
  readonly decodeSeconds: number;
  readonly decodedTokens: number;
  readonly finishReason: string;
  readonly retention?: Retention;
}

/** One of the answers under several settings. */
export interface SharedAnswer {
  /** Index of the setting. */
  readonly setting: number;
  /** True for the first answer after each reading: `prefillSeconds` is that of the reading, for all answers that share it. */
  readonly read: boolean;
  readonly answer: EngineAnswer;
}

/** Facts about a model and what computes it; they go into the manifest as they are. */
export type EngineFacts = Readonly<Record<string, JsonValue>>;

/** What the loop needs of an engine. Opening one is cheap: weights are loaded for the first answer. */
export interface EvalEngine extends AsyncDisposable {
  readonly facts: EngineFacts;
  /** Without special tokens. */
  readonly tokenizer: TextTokenizer;
  /** Longest sequence in tokens. */
  readonly contextLength: number;
  /** Bytes that a sequence of so many tokens takes, weights included, from shapes alone; absent where the engine cannot tell. */
  memoryNeeded?(tokens: number, setting: CacheSetting): number;
  /** Bytes that there are for it; absent where nobody knows. */
  readonly memoryBytes?: number;
  /** Seconds that loading the weights took; absent until that has happened here. */
  readonly loadSeconds?: number | undefined;
  /** A user's turn in the model's chat format, ready for the answer; absent where the model has no template. */
  readonly chat?: (content: string) => string;
  /** Reads the context once and answers its questions in order. @throws KvsiftError `context_length_exceeded`, `budget_invalid`, `aborted`, ... */
  answer(request: AnswerRequest): AsyncIterable<EngineAnswer>;
  /**
   * `answer` for several settings that share one reading as far as their caches are laid out alike, all of a setting's answers in a row; absent where the engine cannot. Where one setting cannot
   * be read under, none that shares its reading is.
   */
  answerAll?(request: Omit<AnswerRequest, 'setting'>, settings: readonly CacheSetting[]): AsyncIterable<SharedAnswer>;
}
