import type { JsonValue } from '@kvsift/eval-text';
import { Mismatch } from './tally.js';

/** How far two unrounded scores may be apart. */
const TOLERANCE = 1e-9;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Deep equality, numbers within `tolerance`. */
export function isSame(actual: unknown, expected: unknown, tolerance = 0): boolean {
  if (typeof expected === 'number') {
    return typeof actual === 'number' && (actual === expected || Math.abs(actual - expected) <= tolerance);
  }
  if (Array.isArray(expected)) {
    return (
      Array.isArray(actual) &&
      actual.length === expected.length &&
      expected.every((item, i) => isSame(actual[i], item, tolerance))
    );
  }
  if (isObject(expected)) {
    const keys = Object.keys(expected);
    return (
      isObject(actual) &&
      Object.keys(actual).length === keys.length &&
      keys.every((key) => isSame(actual[key], expected[key], tolerance))
    );
  }
  return actual === expected;
}

const short = (value: unknown) => (JSON.stringify(value) ?? String(value)).slice(0, 300);

/** @throws Mismatch naming `what` where the values differ; numbers must be equal */
export function expectSame(what: string, actual: unknown, expected: JsonValue | undefined): void {
  if (!isSame(actual, expected)) throw new Mismatch(`${what}: expected ${short(expected)}, got ${short(actual)}`);
}

/** @throws Mismatch where numbers are more than 1e-9 apart or anything else differs */
export function expectClose(what: string, actual: unknown, expected: JsonValue | undefined): void {
  if (!isSame(actual, expected, TOLERANCE)) throw new Mismatch(`${what}: expected ${short(expected)}, got ${short(actual)}`);
}

/** A score, or `ERROR NameOfException` as the case files write it. */
export function scoreOrError(score: number | { readonly error: string }): number | string {
  return typeof score === 'number' ? score : `ERROR ${score.error}`;
}

/** @throws Mismatch where a row has a column that no check reads */
export function expectColumns(row: Readonly<Record<string, unknown>>, known: readonly string[]): void {
  const unknown = Object.keys(row).filter((column) => !known.includes(column));
  if (unknown.length > 0) throw new Mismatch(`unknown column ${unknown.join(', ')}; known are ${known.join(', ')}`);
}
