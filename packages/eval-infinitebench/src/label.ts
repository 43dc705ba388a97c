import { codePoints, type FloatAwareJson, type JsonValue, PythonFloat, scoreError } from '@kvsift/eval-text';

/**
 * A reference answer as a result file keeps it: JSON, in which a number that Python reads as a float is `{ "float": 45 }`, since 45.0 and 45
 * are scored differently and JSON cannot tell them apart once parsed.
 */
export type Label = JsonValue;

/** Marks the floats of a parsed row. */
export function encodeLabel(value: FloatAwareJson): Label {
  if (value instanceof PythonFloat) return { float: value.value };
  if (Array.isArray(value)) return value.map(encodeLabel);
  if (typeof value === 'object' && value !== null)
    throw scoreError('TypeError', 'expected a string, a number or a list as label, got an object');
  return value;
}

const isList = (label: Label): label is readonly Label[] => Array.isArray(label);

/** Python `label[index]`, which for a string is one character. */
export function item(label: Label, index: number): Label {
  const found = isList(label) ? label[index] : typeof label === 'string' ? codePoints(label)[index] : undefined;
  if (found !== undefined) return found;
  if (isList(label) || typeof label === 'string')
    throw scoreError('IndexError', `the label ${JSON.stringify(label)} has no item ${index}`);
  throw scoreError('TypeError', `the label ${JSON.stringify(label)} is not a list`);
}

/** The first item of a list, everything else as it is. */
export const firstOf = (label: Label): Label => (isList(label) ? item(label, 0) : label);

/** What Python's `for x in label` gives: a string is taken character by character. */
export function iterate(label: Label): readonly Label[] {
  if (isList(label)) return label;
  if (typeof label === 'string') return codePoints(label);
  throw scoreError('TypeError', `the label ${JSON.stringify(label)} cannot be iterated`);
}

/** All answers, a lone one being a list of one. */
export const answersOf = (label: Label): readonly Label[] => (isList(label) ? label : [label]);

/** Python `text in label`: membership for a list, substring for a string. */
export const contains = (label: Label, text: string): boolean =>
  (isList(label) || typeof label === 'string') && label.includes(text);

/** @throws KvsiftError `score_error` (TypeError) where a label is no text */
export function asText(label: Label): string {
  if (typeof label === 'string') return label;
  throw scoreError('TypeError', `expected a text as label, got ${JSON.stringify(label)}`);
}
