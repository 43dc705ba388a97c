import type { ChatMessage } from '@kvsift/tokenizer';
import type { Chunk, GenerateOptions } from './answer.js';
import type { LanguageModel } from './language-model.js';
import type { Session } from './session.js';
import type { PrefillInput, SessionOptions } from './session-options.js';

/**
 * A conversation in turns. A turn reads only what is new: the cache of the turns before it, evicted or not, stays. Where a template rewrites
 * earlier turns, the conversation is read again from the start.
 */
export class Chat implements Disposable {
  readonly #messages: ChatMessage[];
  #session: Session;
  /** Text that the session has read or written. */
  #text = '';

  /** @param messages what the conversation begins with, for example a system message */
  constructor(
    private readonly model: LanguageModel,
    private readonly options: SessionOptions = {},
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

  /** Says something and streams the answer, which joins the conversation as far as it came. */
  async *send(content: string, options: PrefillInput & GenerateOptions = {}): AsyncGenerator<Chunk, void, undefined> {
    this.#messages.push({ role: 'user', content });
    const text = this.model.tokenizer.chat(this.#messages, { addGenerationPrompt: true });
    if (!text.startsWith(this.#text)) {
      this.#session.dispose();
      this.#session = this.model.session(this.options);
      this.#text = '';
    }
    const added = this.model.tokenizer.encode(text.slice(this.#text.length), { addSpecial: false });
    try {
      await this.#session.prefill(added, options);
    } catch (error) {
      this.#messages.pop();
      throw error;
    }
    this.#text = text;
    let answer = '';
    try {
      for await (const chunk of this.#session.generate(options)) {
        answer += chunk.text;
        yield chunk;
      }
    } finally {
      this.#messages.push({ role: 'assistant', content: answer });
      this.#text += answer;
    }
  }

  dispose(): void {
    this.#session.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
