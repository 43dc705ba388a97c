import { isKvsiftError } from '@kvsift/tensor';
import type { ChatMessage } from '@kvsift/tokenizer';
import type { Chunk, FinishReason, GenerateOptions } from './answer.js';
import type { LanguageModel } from './language-model.js';
import type { Session } from './session.js';
import type { PrefillInput, SessionOptions } from './session-options.js';

/** Settings of a conversation. */
export interface ChatOptions extends SessionOptions {
  /**
   * What happens where a conversation outgrows the context. `error` (the default): `send` throws `context_length_exceeded`. `evict`: the oldest turns
   * go and the rest is read again; system messages at the start and what is being said stay.
   */
  readonly onOverflow?: 'error' | 'evict';
  /** Told which messages `evict` dropped, before the rest is read. */
  readonly onDropped?: (dropped: readonly ChatMessage[]) => void;
}

/**
 * A conversation in turns. A turn reads only what is new: the cache of the turns before it, evicted or not, stays. Where a template rewrites
 * earlier turns, or turns are dropped, the conversation is read again from the start.
 */
export class Chat implements Disposable {
  #messages: ChatMessage[];
  #session: Session;
  /** Text that the session has read or written. */
  #text = '';

  /** @param messages what the conversation begins with, for example a system message */
  constructor(
    private readonly model: LanguageModel,
    private readonly options: ChatOptions = {},
    messages: readonly ChatMessage[] = [],
  ) {
    this.#messages = [...messages];
    this.#session = model.session(options);
  }

  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  get session(): Session {
    return this.#session;
  }

  /**
   * Says something and streams the answer, which joins the conversation as far as it came.
   * @throws KvsiftError `context_length_exceeded`, `aborted`; the conversation is then what it was before
   */
  async *send(content: string, options: PrefillInput & GenerateOptions = {}): AsyncGenerator<Chunk, void, undefined> {
    const before = this.#messages;
    this.#messages = [...before, { role: 'user', content }];
    try {
      if (this.options.onOverflow === 'evict') this.#makeRoom(options.maxTokens);
      const text = this.#textOf(this.#messages);
      if (!text.startsWith(this.#text)) this.#startAnew();
      await this.#session.prefill(this.#encode(text.slice(this.#text.length)), options);
      this.#text = text;
    } catch (error) {
      this.#messages = before;
      throw error;
    }
    let answer = '';
    let tokens = 0;
    let reason: FinishReason | undefined;
    try {
      for await (const chunk of this.#session.generate(options)) {
        answer += chunk.text;
        tokens += 1;
        reason = chunk.finishReason;
        yield chunk;
      }
    } finally {
      this.#messages.push({ role: 'assistant', content: answer });
      // The session has read a stop string, or what was held back as it might become one: no part of the answer.
      const beyond = reason === 'stop' || (reason === undefined && (options.stop?.length ?? 0) > 0);
      if (beyond) this.#takeBack(tokens);
      else this.#text += answer;
    }
  }

  /** Frees the session of the chat; an answer that is being generated ends with `disposed`. */
  dispose(): void {
    this.#session.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Drops the oldest turns until the rest and an answer fit; an answer may ask for a quarter of the context. */
  #makeRoom(maxTokens = 256): void {
    const { contextLength } = this.model;
    const room = contextLength - Math.min(maxTokens, Math.floor(contextLength / 4));
    const kept = [...this.#messages];
    const system = kept.findIndex(({ role }) => role !== 'system');
    const dropped: ChatMessage[] = [];
    let length = this.#encode(this.#textOf(kept)).length;
    while (length > room) {
      const next = kept.findIndex(({ role }, index) => index > system && role === 'user');
      if (next < 0) break;
      dropped.push(...kept.splice(system, next - system));
      length = this.#encode(this.#textOf(kept)).length;
    }
    // What does not fit even alone is an error; nothing is dropped for it.
    if (dropped.length === 0 || length > contextLength) return;
    this.#messages = kept;
    this.options.onDropped?.(dropped);
  }

  /** The next turn reads the answer as it is said, with what follows; with everything where evictions since then cannot be undone. */
  #takeBack(tokens: number): void {
    try {
      this.#session.rollback(tokens);
    } catch (error) {
      if (!isKvsiftError(error)) throw error;
      // There is nothing to take back from a conversation that was ended meanwhile.
      if (error.code !== 'disposed') this.#startAnew();
    }
  }

  #startAnew(): void {
    this.#session.dispose();
    this.#session = this.model.session(this.options);
    this.#text = '';
  }

  #textOf(messages: readonly ChatMessage[]): string {
    return this.model.tokenizer.chat(messages, { addGenerationPrompt: true });
  }

  #encode(text: string): Int32Array {
    return this.model.tokenizer.encode(text, { addSpecial: false });
  }
}
