import type { DecoderModel } from '@kvsift/models';
import { KvsiftError } from '@kvsift/tensor';
import type { ChatMessage, Tokenizer } from '@kvsift/tokenizer';
import type { Chunk, GenerateOptions } from './answer.js';
import { budgetOf, defaultKvType } from './begin.js';
import { checkSessionOptions } from './check-options.js';
import { estimateMemory, type MemoryEstimate } from './estimate.js';
import { modelFingerprint } from './fingerprint.js';
import { checkId } from './input.js';
import type { ModelFiles } from './load.js';
import { Session } from './session.js';
import type { PrefillInput, SessionOptions } from './session-options.js';

/** A prompt as text, ids, or a conversation that the model's chat template turns into text. */
export type Prompt = string | readonly number[] | Int32Array | readonly ChatMessage[];

/** A loaded model: start a session, or just generate. Release it with `dispose` (or `using`); its backend stays. */
export class LanguageModel implements Disposable {
  /** Those of `generate`, which nobody else can end. */
  readonly #generating = new Set<Session>();
  #alive = true;

  constructor(
    readonly decoder: DecoderModel,
    readonly files: ModelFiles,
    readonly contextLength: number,
  ) {}

  /** @throws KvsiftError `file_not_found` where the model's files have no tokenizer */
  get tokenizer(): Tokenizer {
    const { tokenizer, path } = this.files;
    if (tokenizer === undefined)
      throw new KvsiftError(
        'file_not_found',
        `${path} has no tokenizer: expected tokenizer.json in the folder, or token ids instead of text`,
        { path },
      );
    return tokenizer;
  }

  /** A conversation of its own: one cache, one policy at work. */
  session(options: SessionOptions = {}): Session {
    if (!this.#alive) throw new KvsiftError('disposed', 'this model was disposed');
    const { decoder, contextLength, files } = this;
    return new Session(
      { decoder, tokenizer: files.tokenizer, contextLength, eosIds: files.eosIds, fingerprint: () => this.fingerprint() },
      options,
    );
  }

  /**
   * Continues a session that `Session.save` wrote. The options must name the same policy and kvType; layout and seed may differ;
   * another budget holds from here on, where the policy works on while tokens are decoded.
   * @throws KvsiftError `cache_mismatch` where the file is of another model, policy, kvType or version
   */
  async restore(path: string, options: SessionOptions = {}): Promise<Session> {
    const session = this.session(options);
    try {
      await session.restore(path);
      return session;
    } catch (error) {
      session.dispose();
      throw error;
    }
  }

  /** Short hash that tells this model from others. */
  fingerprint(): Promise<string> {
    this.#fingerprint ??= modelFingerprint(this.files);
    return this.#fingerprint;
  }

  #fingerprint: Promise<string> | undefined;

  /**
   * Reads a prompt, evicts what the policy does not keep, and streams the answer.
   * @throws KvsiftError `context_length_exceeded`, `budget_invalid`, `aborted`, `template_invalid`
   */
  async *generate(
    prompt: Prompt,
    options: SessionOptions & PrefillInput & GenerateOptions = {},
  ): AsyncGenerator<Chunk, void, undefined> {
    using session = this.session(options);
    this.#generating.add(session);
    try {
      await session.prefill(this.encode(prompt, options.addSpecial), options);
      yield* session.generate(options);
    } finally {
      this.#generating.delete(session);
    }
  }

  /** Token ids of a prompt. */
  encode(prompt: Prompt, addSpecial = true): Int32Array {
    if (typeof prompt === 'string') return this.tokenizer.encode(prompt, { addSpecial });
    if (isConversation(prompt)) {
      return this.tokenizer.encode(this.tokenizer.chat(prompt, { addGenerationPrompt: true }), { addSpecial: false });
    }
    if (!(Array.isArray(prompt) || ArrayBuffer.isView(prompt)))
      throw new KvsiftError('invalid_argument', `a prompt is text, token ids or messages, not ${JSON.stringify(prompt)}`);
    return Int32Array.from(prompt, (id) => checkId(this, id));
  }

  /** Memory that a prompt of `context` tokens needs, from shapes alone. @throws KvsiftError `invalid_argument`, `budget_invalid` */
  estimate(options: Pick<SessionOptions, 'policy' | 'budget' | 'kvType'> & { readonly context: number }): MemoryEstimate {
    checkSessionOptions(options);
    const budget = budgetOf(options);
    if (!(Number.isSafeInteger(options.context) && options.context >= 1))
      throw new KvsiftError('invalid_argument', `context must be a positive integer, not ${options.context}`);
    return estimateMemory({
      config: this.files.config,
      tensors: this.files.weights.tensors.values(),
      context: options.context,
      kvType: options.kvType ?? defaultKvType(this.decoder.backend),
      ...(options.policy && { policy: options.policy }),
      ...(budget && { budget }),
      info: this.decoder.backend.info,
    });
  }

  /** Releases the weights. Answers of `generate` in progress end with `disposed`; sessions are to be disposed before. */
  dispose(): void {
    if (!this.#alive) return;
    this.#alive = false;
    for (const session of this.#generating) session.dispose();
    this.decoder.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function isConversation(prompt: readonly number[] | Int32Array | readonly ChatMessage[]): prompt is readonly ChatMessage[] {
  return Array.isArray(prompt) && typeof prompt[0] === 'object';
}
