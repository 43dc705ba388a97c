import { z } from 'zod';
import type { TokenCoding } from '../text/token-bytes.js';
import { type Component, invalid } from './schema.js';

const stringPattern = z.object({ String: z.string().min(1) });

/**
 * How tokens stand for bytes, from the `decoder` of a tokenizer.json: ByteLevel, Metaspace, or a Sequence of Replace, ByteFallback, Fuse and
 * Strip as sentencepiece conversions have it. Known as a coding, tokens can be decoded one by one.
 * @throws KvsiftError `tokenizer_invalid` for other decoders
 */
export function tokenCoding(decoder: Component, path: string): TokenCoding {
  const parts = flatten(decoder, path);
  if (parts.some(({ type }) => type === 'ByteLevel')) {
    if (parts.length > 1) throw invalid(path, 'decoder: expected ByteLevel alone');
    return { kind: 'byte-level' };
  }
  const replacements: [string, string][] = [];
  let byteFallback = false;
  let leadingSpaces = 0;
  for (const part of parts) {
    switch (part.type) {
      case 'Replace': {
        const pattern = stringPattern.safeParse(part.pattern);
        if (!pattern.success || typeof part.content !== 'string')
          throw invalid(path, 'decoder: Replace: expected a text and its content');
        replacements.push([pattern.data.String, part.content]);
        break;
      }
      case 'Metaspace':
        replacements.push([typeof part.replacement === 'string' ? part.replacement : '▁', ' ']);
        if (part.prepend_scheme !== 'never' && part.add_prefix_space !== false) leadingSpaces = 1;
        break;
      case 'ByteFallback':
        byteFallback = true;
        break;
      case 'Fuse':
        break;
      case 'Strip':
        if (part.content !== ' ' || part.stop !== 0 || typeof part.start !== 'number') {
          throw invalid(path, 'decoder: Strip: expected spaces at the start only');
        }
        leadingSpaces = part.start;
        break;
      default:
        throw invalid(
          path,
          `decoder: expected ByteLevel, Metaspace, Replace, ByteFallback, Fuse or Strip, found ${part.type.slice(0, 40)}`,
        );
    }
  }
  return { kind: 'pieces', replacements, byteFallback, leadingSpaces };
}

function flatten(decoder: Component, path: string): Component[] {
  if (decoder.type !== 'Sequence') return [decoder];
  const parts = z.array(z.looseObject({ type: z.string() })).safeParse(decoder.decoders);
  if (!parts.success) throw invalid(path, 'decoder.decoders: expected a list of decoders');
  return parts.data.flatMap((part) => flatten(part, path));
}
