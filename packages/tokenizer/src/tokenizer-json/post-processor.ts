import { z } from 'zod';
import { type Component, invalid } from './schema.js';

const templateSchema = z.looseObject({
  single: z.array(
    z.union([
      z.object({ SpecialToken: z.looseObject({ id: z.string() }) }),
      z.object({ Sequence: z.looseObject({ id: z.string() }) }),
    ]),
  ),
  special_tokens: z.record(z.string(), z.looseObject({ ids: z.array(z.number().int().nonnegative()) })),
});

/** Ids that go before and after a text. */
export interface Surroundings {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

/** What the `post_processor` of a tokenizer.json puts around a single text. @throws KvsiftError `tokenizer_invalid` for kinds of encoder models */
export function surroundings(component: Component | null | undefined, path: string): Surroundings {
  if (!component || component.type === 'ByteLevel') return { prefix: [], suffix: [] };
  if (component.type === 'Sequence') {
    const parts = z.array(z.looseObject({ type: z.string() })).safeParse(component.processors);
    if (!parts.success) throw invalid(path, 'post_processor.processors: expected a list');
    const each = parts.data.map((part) => surroundings(part, path));
    return { prefix: each.toReversed().flatMap(({ prefix }) => prefix), suffix: each.flatMap(({ suffix }) => suffix) };
  }
  if (component.type !== 'TemplateProcessing') {
    throw invalid(
      path,
      `post_processor: expected TemplateProcessing, ByteLevel or a Sequence of them, found ${component.type.slice(0, 40)}`,
    );
  }
  const template = templateSchema.safeParse(component);
  if (!template.success) throw invalid(path, 'post_processor: expected a template with single and special_tokens');
  const { single, special_tokens: known } = template.data;
  const text = single.findIndex((item) => 'Sequence' in item);
  if (text < 0) throw invalid(path, 'post_processor.single: expected a place for the text');
  const ids = (items: typeof single) =>
    items.flatMap((item) => {
      if (!('SpecialToken' in item)) throw invalid(path, 'post_processor.single: expected one place for the text, found two');
      const found = known[item.SpecialToken.id];
      if (!found) throw invalid(path, `post_processor.special_tokens: expected an entry for ${item.SpecialToken.id}`);
      return found.ids;
    });
  return { prefix: ids(single.slice(0, text)), suffix: ids(single.slice(text + 1)) };
}
