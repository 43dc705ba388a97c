import { z } from 'zod';
import { type Component, invalid } from './schema.js';

/** Split pattern of GPT-2 (openai/gpt-2, encoder.py). */
export const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** Cuts the text at every match and keeps matches and what lies between them. */
export function isolate(regex: string): Component {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false };
}

/** GPT-2's characters for bytes, no cutting. */
export const byteLevelOnly: Component = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };

/** A space before a text that does not begin with one. */
const prefixSpace: Component = { type: 'Metaspace', replacement: ' ', prepend_scheme: 'always' };

const patternSchema = z.union([z.object({ Regex: z.string() }), z.object({ String: z.string() })]);

/**
 * Rewrites pre-tokenizers that @huggingface/tokenizers 0.2.0 runs otherwise than the Rust library into ones that it runs alike:
 * `ByteLevel` with its own pattern (JavaScript's \s holds U+FEFF and lacks U+0085), `Digits` (ASCII only), `Split` and `Punctuation`
 * (the behaviour is ignored), `WhitespaceSplit` (\s again), `Metaspace`
 * with `split` (not split).
 * @throws KvsiftError `tokenizer_invalid` for kinds that would still differ
 */
export function correctPreTokenizer(component: Component, path: string): Component {
  switch (component.type) {
    case 'Sequence': {
      const parts = z.array(z.looseObject({ type: z.string() })).safeParse(component.pretokenizers);
      if (!parts.success) throw invalid(path, 'pre_tokenizer.pretokenizers: expected a list of pre-tokenizers');
      return { ...component, pretokenizers: parts.data.map((part) => correctPreTokenizer(part, path)) };
    }
    case 'ByteLevel':
      if (component.use_regex === false) return component;
      return sequence(...(component.add_prefix_space === true ? [prefixSpace] : []), isolate(gpt2Pattern), byteLevelOnly);
    case 'Digits':
      return isolate(component.individual_digits === true ? '\\p{N}' : '\\p{N}+');
    case 'Split':
      return correctSplit(component, path);
    case 'Metaspace': {
      const { replacement = '▁' } = component;
      if (component.split === false || typeof replacement !== 'string') return component;
      return sequence(component, isolate(withNext(escapeRegex(replacement))));
    }
    case 'Punctuation':
      return correctSplit({ ...component, pattern: { Regex: '[\\p{P}!-\\/:-@\\[-`{-~]' } }, path);
    case 'WhitespaceSplit':
      return { type: 'Split', pattern: { Regex: '\\s+' }, behavior: 'Removed', invert: false };
    default:
      throw invalid(path, `pre_tokenizer: expected a kind that language models use, found ${component.type.slice(0, 40)}`);
  }
}

/**
 * A corrected pre-tokenizer without the step that writes bytes as characters, where that comes last. It cuts nothing, so that it can wait until a word is met for
 * the first time; over every word of a text it takes longer than all the rest.
 */
export function withoutBytes(component: Component): { readonly cutting: Component | null; readonly bytes: boolean } {
  if (component.type === 'ByteLevel' && component.use_regex === false && component.add_prefix_space !== true) {
    return { cutting: null, bytes: true };
  }
  const parts = component.type === 'Sequence' ? (component.pretokenizers as readonly Component[]) : [];
  const last = parts.at(-1);
  if (last === undefined) return { cutting: component, bytes: false };
  const { cutting, bytes } = withoutBytes(last);
  const others = [...parts.slice(0, -1), ...(cutting ? [cutting] : [])];
  return { cutting: others.length === 0 ? null : sequence(...others), bytes };
}

function sequence(...pretokenizers: Component[]): Component {
  return { type: 'Sequence', pretokenizers };
}

function correctSplit(component: Component, path: string): Component {
  const pattern = patternSchema.safeParse(component.pattern);
  if (!pattern.success) throw invalid(path, 'pre_tokenizer: Split: expected a pattern { Regex } or { String }');
  const regex = 'Regex' in pattern.data ? pattern.data.Regex : escapeRegex(pattern.data.String);
  switch (component.behavior) {
    case 'Isolated':
      return isolate(regex);
    case 'MergedWithPrevious':
      return isolate(`(?:(?!${regex})[\\s\\S])*(?:${regex})`);
    case 'MergedWithNext':
      return isolate(withNext(regex));
    case 'Contiguous':
      return isolate(`(?:${regex})+`);
    case 'Removed':
      return component;
    default:
      throw invalid(path, `pre_tokenizer: Split: behavior: found ${String(component.behavior).slice(0, 40)}`);
  }
}

function withNext(regex: string): string {
  return `(?:${regex})(?:(?!${regex})[\\s\\S])*`;
}

function escapeRegex(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
