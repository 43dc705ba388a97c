import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { duplicateKey } from './duplicate-key.js';

describe('duplicateKey', () => {
  it.each([
    ['{"a":1,"a":2}', 'a'],
    ['{"a":{"b":1,"c":{},"b":2}}', 'a.b'],
    ['[{"x":[{"y":1}, {"y":1,"\\u0079" : 2}]}]', 'x.y'],
    ['{"a\\"":1,"a\\"":2}', 'a"'],
    ['{"a":"a","b":["a","a"],"c":{"a":":"}}', undefined],
    ['{"\\\\":1,"\\\\\\\\":2}', undefined],
    ['"{\\"a\\":1,\\"a\\":2}"', undefined],
  ])('%s', (text, expected) => {
    expect(duplicateKey(text)).toBe(expected);
  });

  it('finds nothing in what JSON.stringify writes', () => {
    fc.assert(
      fc.property(
        fc.json(),
        fc.boolean(),
        (text, pretty) => duplicateKey(pretty ? JSON.stringify(JSON.parse(text), null, 2) : text) === undefined,
      ),
    );
  });

  it('finds a key repeated at the end of any object', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue(), { minKeys: 1 }), (object) => {
        const text = JSON.stringify(object);
        const key = Object.keys(object)[0] ?? '';
        return duplicateKey(`${text.slice(0, -1)},${JSON.stringify(key)}:0}`) === key;
      }),
    );
  });

  it('does not exhaust the stack', () => {
    expect(duplicateKey(`${'[{"a":'.repeat(100_000)}1${'}]'.repeat(100_000)}`)).toBeUndefined();
  });
});
