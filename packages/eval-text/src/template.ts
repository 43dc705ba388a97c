import { KvsiftError } from '@kvsift/tensor';

/**
 * Fills `{name}` places in one pass: values go in verbatim, braces inside them are not looked at again.
 * @throws KvsiftError `data_malformed` where a place has no value
 */
export function fillTemplate(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (place, name: string) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined) {
      throw new KvsiftError('data_malformed', `the template has the place ${place}, but no value is given for it`, { place });
    }
    return value;
  });
}

/** The two sides of a template around `{context}`, the place itself on the left: what may be compressed before the question is known. */
export function splitAtContext(template: string): [context: string, question: string] {
  const end = template.indexOf('{context}') + '{context}'.length;
  return [template.slice(0, end), template.slice(end)];
}
