import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fillTemplate, splitAtContext } from './template.js';

describe('fillTemplate', () => {
  it('inserts values verbatim: braces and dollars in them stay', () => {
    expect(fillTemplate('{a}-{b}', { a: '{b}$&$1', b: '{c}' })).toBe('{b}$&$1-{c}');
  });

  it('names a place without value, also one that objects inherit', () => {
    expect(() => fillTemplate('{x}', {})).toThrow('{x}');
    expect(() => fillTemplate('{constructor}', {})).toThrow('{constructor}');
  });

  it('gives any value back unchanged', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        expect(fillTemplate('{v}', { v: value })).toBe(value);
      }),
    );
  });
});

it('splits after the context', () => {
  expect(splitAtContext('x {context} y')).toEqual(['x {context}', ' y']);
});
