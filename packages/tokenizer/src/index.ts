export { applyChatTemplate, type ChatMessage, type ChatTemplateOptions } from './chat.js';
export { tokenizerFromGguf } from './gguf/load.js';
export { loadTokenizer } from './load.js';
export type { DecodeOptions, EncodeOptions, Tokenizer, TokenStream } from './tokenizer.js';
