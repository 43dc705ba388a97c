import { z } from 'zod';
import { type Component, invalid } from './schema.js';

const remove = (regex: string): Component => ({ type: 'Replace', pattern: { Regex: regex }, content: '' });

/**
 * Rewrites normalizers that @huggingface/tokenizers 0.2.0 runs otherwise than the Rust library: `Strip` trims what JavaScript calls white space
 * (U+FEFF with it, U+0085 without).
 * @throws KvsiftError `tokenizer_invalid`
 */
export function correctNormalizer(component: Component, path: string): Component {
  if (component.type === 'Sequence') {
    const parts = z.array(z.looseObject({ type: z.string() })).safeParse(component.normalizers);
    if (!parts.success) throw invalid(path, 'normalizer.normalizers: expected a list of normalizers');
    return { ...component, normalizers: parts.data.map((part) => correctNormalizer(part, path)) };
  }
  if (component.type !== 'Strip') return component;
  const sides = [...(component.strip_left === true ? ['\\A\\s+'] : []), ...(component.strip_right === true ? ['\\s+\\z'] : [])];
  return { type: 'Sequence', normalizers: sides.map(remove) };
}
