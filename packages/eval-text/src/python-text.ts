/**
 * Characters that Python's `str.split()` and `str.strip()` take for white space. JavaScript's `\s` lacks U+001C–U+001F and U+0085, and
 * has U+FEFF too many.
 */
const WHITE_SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const RUN = new RegExp(`[${WHITE_SPACE}]+`, 'u');
const LEADING = new RegExp(`^[${WHITE_SPACE}]+`, 'u');
const WHITE_SPACE_CODES = new Set(
  Array.from({ length: 0x3001 }, (_, code) => code).filter((code) => RUN.test(String.fromCharCode(code))),
);

/** The 32 characters of Python's `string.punctuation`, as the inside of a character class. */
export const ASCII_PUNCTUATION_CLASS = '!-\\/:-@\\[-`{-~';

/** Python `s.split()`: the non-empty runs between white space. */
export function splitWords(text: string): string[] {
  return text.split(RUN).filter((word) => word !== '');
}

/** Python `s.lstrip()`. */
export function stripStart(text: string): string {
  return text.replace(LEADING, '');
}

/** Python `s.strip()`. */
export function strip(text: string): string {
  let end = text.length;
  while (end > 0 && WHITE_SPACE_CODES.has(text.charCodeAt(end - 1))) end--;
  return stripStart(text.slice(0, end));
}

/** Python `re.split('\s+', s)` joined by nothing: the text without white space. */
export function removeWhiteSpace(text: string): string {
  return splitWords(text).join('');
}

/** Characters as Python counts them: code points, a lone surrogate being one. */
export function codePoints(text: string): string[] {
  return Array.from(text);
}

/** A pattern for Python's `\b(…)\b`, whose word characters are all letters and numbers of Unicode and the underscore. */
export function wholeWord(inner: string, flags = ''): RegExp {
  return new RegExp(`(?<![\\p{L}\\p{N}_])(?:${inner})(?![\\p{L}\\p{N}_])`, `u${flags}`);
}

/** `text` with every character of `characters` (single UTF-16 units or words) replaced by a space, as the reference scorers do one by one. */
export function replaceBySpace(text: string, characters: readonly string[]): string {
  return characters.reduce((result, character) => result.replaceAll(character, ' '), text);
}

/** Runs of U+0020 made one. */
export function squeezeSpaces(text: string): string {
  return text.replace(/ {2,}/g, ' ');
}
