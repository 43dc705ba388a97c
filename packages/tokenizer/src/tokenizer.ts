import type { ChatMessage, ChatTemplateOptions } from './chat.js';

/** What `encode` adds and recognises. */
export interface EncodeOptions {
  /** Add what the model expects around a text: BOS, and EOS where it asks for one. Default true. */
  readonly addSpecial?: boolean;
  /** Special tokens written in the text become their ids; otherwise they are text like any other. Default true. */
  readonly parseSpecial?: boolean;
}

/** How ids become text. */
export interface DecodeOptions {
  /** Leave out special tokens. Default false. */
  readonly skipSpecial?: boolean;
  /** The ids continue a text: keep the space that a sentencepiece vocabulary puts before a first word. Default false. */
  readonly continues?: boolean;
}

/** Turns ids into text one by one; the pieces joined are what `decode` gives for all ids. */
export interface TokenStream {
  /** Text that became certain with this id: never half a character, so it may be empty. */
  push(id: number): string;
  /** What is left; an incomplete character becomes U+FFFD. */
  end(): string;
}

/** A model's vocabulary: text to ids and back, and its chat template. */
export interface Tokenizer {
  /** Largest id + 1. A model may have more rows: ids without a token decode to nothing. */
  readonly vocabSize: number;
  readonly bosId?: number;
  /** Ids that end a generation, the model's own first. */
  readonly eosIds: readonly number[];
  /** Whether `encode` puts `bosId` first by default. */
  readonly addBos: boolean;
  readonly specialIds: ReadonlySet<number>;
  /** The model's own Jinja chat template. */
  readonly chatTemplate?: string;
  /** Ids of a text. Lone surrogates are taken as U+FFFD. Time grows linearly with the text. */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /** Text of ids; bytes that are not UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** The token as the vocabulary writes it (`Ġthe`, `▁the`, `<0x0A>`). @throws KvsiftError `invalid_argument` for an id without a token */
  tokenText(id: number): string;
  /** Id of a token as the vocabulary writes it. */
  idOf(token: string): number | undefined;
  /** Turns ids into text one by one: characters whose bytes are spread over tokens come once they are whole. */
  stream(options?: DecodeOptions): TokenStream;
  /**
   * Text of a conversation in the model's own format. Templates write BOS themselves: encode the text with `addSpecial: false`.
   * @throws KvsiftError `template_invalid` where the model has no template, or as `applyChatTemplate`
   */
  chat(messages: readonly ChatMessage[], options?: ChatTemplateOptions): string;
}
