import { gpt2Pattern } from '../tokenizer-json/pre-tokenizer.js';

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const tail = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const llama3 = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${tail}`;
const qwen2 = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${tail}`;
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

const families: readonly (readonly [names: readonly string[], rule: PreTokenizerRule])[] = [
  [['gpt-2', 'gpt2', 'phi-2', 'olmo', 'jina-es', 'jina-de', 'gigachat', 'mellum'], { patterns: [gpt2Pattern] }],
  [['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b'], { patterns: ['\\p{N}', gpt2Pattern] }],
  [['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'pixtral', 'lfm2'], { patterns: [llama3], ignoreMerges: true, addBos: true }],
  [['dbrx', 'smaug-bpe', 'chatglm-bpe', 'glm4'], { patterns: [llama3] }],
  [['qwen2', 'deepseek-r1-qwen', 'stablelm2', 'megrez', 'hunyuan'], { patterns: [qwen2] }],
  [['tekken'], { patterns: [cased('', '\\p{N}')], ignoreMerges: true }],
  [['gpt-4o', 'llama4'], { patterns: [cased(`${contractions}?`, '\\p{N}{1,3}')] }],
  [['deepseek-v3', 'hunyuan-dense'], { patterns: ['\\p{N}{1,3}', '[一-龥぀-ゟ゠-ヿ]+', deepseek3] }],
  [['falcon'], { patterns: ['[\\p{P}\\$\\+<=>\\^~\\|`]+', gpt2Pattern, '[0-9][0-9][0-9]'] }],
  // What llama.cpp does for files older than the key.
  [['default'], { patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2Pattern, '\\p{N}+', '[0-9][0-9][0-9]'] }],
];

/** Rules by `tokenizer.ggml.pre`, as llama.cpp names them (src/llama-vocab.cpp). */
export const preTokenizerRules: ReadonlyMap<string, PreTokenizerRule> = new Map(
  families.flatMap(([names, rule]) => names.map((name): [string, PreTokenizerRule] => [name, rule])),
);
