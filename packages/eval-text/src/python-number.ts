import { scoreError } from './score-error.js';

const INTEGER = /^[+-]?\p{Nd}+(?:_\p{Nd}+)*$/u;
const DECIMAL =
  /^[+-]?(?:\p{Nd}+(?:_\p{Nd}+)*\.?(?:\p{Nd}+(?:_\p{Nd}+)*)?|\.\p{Nd}+(?:_\p{Nd}+)*)(?:[eE][+-]?\p{Nd}+(?:_\p{Nd}+)*)?$/u;
/** CPython refuses to convert longer digit strings since 3.11. */
const MAX_DIGITS = 4300;

/** Value of a decimal digit of any script: the ten digits of a script follow each other, starting at a multiple that is no digit before. */
function digitValue(digit: string): number {
  const code = digit.codePointAt(0) ?? 0;
  if (code < 128) return code - 48;
  let zero = code;
  while (code - zero < 9 && /\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--;
  // Mathematical digits (U+1D7CE…) are five alphabets back to back.
  return code >= 0x1d7ce && code <= 0x1d7ff ? (code - 0x1d7ce) % 10 : code - zero;
}

const toAscii = (text: string) => text.replaceAll('_', '').replace(/\p{Nd}/gu, (digit) => String(digitValue(digit)));

/**
 * Python `int(text)` after stripping: sign, digits of any script, single underscores between digits.
 * @throws KvsiftError `score_error` (ValueError) for anything else, and for more than 4,300 digits
 */
export function parsePythonInt(text: string): bigint {
  const digits = toAscii(text);
  if (!INTEGER.test(text) || digits.replace(/^[+-]/, '').length > MAX_DIGITS) {
    throw scoreError('ValueError', `expected an integer, got ${JSON.stringify(text.slice(0, 40))}`);
  }
  return digits.startsWith('-') ? -BigInt(digits.slice(1)) : BigInt(digits.replace(/^\+/, ''));
}

/**
 * Python `float(text)` for decimal notation (not "inf" or "nan").
 * @throws KvsiftError `score_error` (ValueError) for anything else
 */
export function parsePythonFloat(text: string): number {
  if (!DECIMAL.test(text)) throw scoreError('ValueError', `expected a decimal number, got ${JSON.stringify(text.slice(0, 40))}`);
  return Number(toAscii(text));
}

/** Python `round(value, digits)`: exact decimal rounding of the binary value, ties to the even digit. `digits` is at most 10. */
export function roundHalfEven(value: number, digits: number): number {
  const rounded = Number(value.toFixed(digits));
  const exact = Math.abs(value).toFixed(60);
  const tail = exact.slice(exact.indexOf('.') + 1 + digits);
  if (!/^50*$/.test(tail)) return rounded;
  // An exact tie: toFixed went away from zero, the even neighbour may be the other one.
  const scale = 10 ** digits;
  const down = Math.floor(Math.abs(value) * scale);
  return (Math.sign(value) * (down % 2 === 0 ? down : down + 1)) / scale;
}

/** NumPy `round(value, digits)`: multiply, round to the even integer, divide. Differs from Python where the product is inexact (2.675). */
export function roundNumpy(value: number, digits: number): number {
  const scale = 10 ** digits;
  return roundHalfEven(value * scale, 0) / scale;
}

/** NumPy's pairwise sum, as in `np.mean`: eight running sums per block of at most 128, halves added recursively above. */
export function sumNumpy(values: readonly number[]): number {
  const n = values.length;
  if (n > 128) {
    const half = Math.floor(n / 2) - (Math.floor(n / 2) % 8);
    return sumNumpy(values.slice(0, half)) + sumNumpy(values.slice(half));
  }
  if (n < 8) return values.reduce((sum, value) => sum + value, 0);
  const lanes = values.slice(0, 8);
  const blocks = n - (n % 8);
  for (let i = 8; i < blocks; i++) lanes[i % 8] = (lanes[i % 8] ?? 0) + (values[i] ?? 0);
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = lanes;
  return values.slice(blocks).reduce((sum, value) => sum + value, a + b + (c + d) + (e + f + (g + h)));
}
