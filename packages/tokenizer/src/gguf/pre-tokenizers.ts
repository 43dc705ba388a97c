import { gpt2Pattern } from '../tokenizer-json/pre-tokenizer.js';

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const tail = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const llama3 = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${tail}`;
const qwen2 = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${tail}`;
const qwen35 = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${tail}`;
const cased = (suffix: string, digits: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${suffix}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${suffix}|` +
  `${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${tail}`;
const deepseek3 =
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|' +
  ` ?[\\p{P}\\p{S}]+[\\r\\n]*|${tail}`;

/** How a `tokenizer.ggml.pre` cuts text: patterns applied in turn, each to the pieces that the one before left. */
export interface PreTokenizerRule {
  readonly patterns: readonly string[];
  /** A whole piece that is a token stays whole, whatever the merges say. */
  readonly ignoreMerges?: boolean;
  /** Default of `tokenizer.ggml.add_bos_token`. */
  readonly addBos?: boolean;
}

const deepseekCoder = ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-\\x{d7ff}]+', '\\p{N}'];

const families: readonly (readonly [names: string, rule: PreTokenizerRule])[] = [
  ['gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 jina-es jina-de gigachat mellum', { patterns: [gpt2Pattern] }],
  ['smollm starcoder refact command-r codeshell exaone minerva-7b mellum2', { patterns: ['\\p{N}', gpt2Pattern] }],
  ['llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2', { patterns: [llama3], ignoreMerges: true, addBos: true }],
  ['dbrx smaug-bpe chatglm-bpe glm4', { patterns: [llama3] }],
  ['qwen2 deepseek-r1-qwen stablelm2 megrez hunyuan kormo solar-open grok-2', { patterns: [qwen2] }],
  ['qwen35', { patterns: [qwen35] }],
  ['tekken', { patterns: [cased('', '\\p{N}')], ignoreMerges: true, addBos: true }],
  ['gpt-4o llama4 kanana2 minimax-m2', { patterns: [cased(`${contractions}?`, '\\p{N}{1,3}')] }],
  ['deepseek-coder', { patterns: deepseekCoder }],
  ['deepseek-v3 hunyuan-dense', { patterns: ['\\p{N}{1,3}', '[一-龥぀-ゟ゠-ヿ]+', deepseek3] }],
  ['falcon', { patterns: ['[\\p{P}\\$\\+<=>\\^~\\|`]+', gpt2Pattern, '[0-9][0-9][0-9]'] }],
  // What llama.cpp does for files older than the key.
  ['default', { patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2Pattern, '\\p{N}+', '[0-9][0-9][0-9]'] }],
];

/** Rules by `tokenizer.ggml.pre`, as llama.cpp names them (src/llama-vocab.cpp). */
export const preTokenizerRules: ReadonlyMap<string, PreTokenizerRule> = new Map(
  families.flatMap(([names, rule]) => names.split(' ').map((name): [string, PreTokenizerRule] => [name, rule])),
);
