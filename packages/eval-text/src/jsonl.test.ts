import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type JsonRow,
  type JsonValue,
  PythonFloat,
  parseJsonLines,
  parseWithFloats,
  readJsonLines,
  requireFiles,
} from './jsonl.js';
import { RowFields } from './row-fields.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-jsonl-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(content: string | Uint8Array) {
  const path = join(folder, 'rows.jsonl');
  await writeFile(path, content);
  const rows = [];
  for await (const row of readJsonLines(path)) rows.push(row);
  return rows;
}

describe('readJsonLines', () => {
  it('splits at line feeds only and skips empty lines', async () => {
    const rows = await read('{"a":"x\u2028y"}\r\n\n  \n{"a":2}');
    expect(rows.map(({ value, line }) => [value.a, line])).toEqual([
      ['x\u2028y', 1],
      [2, 4],
    ]);
  });

  it('reads a line of ten megabytes and lone surrogates', async () => {
    const long = 'x'.repeat(10_000_000);
    const rows = await read(`{"a":"${long}"}\n{"a":"\\ud800"}\n`);
    expect(rows[0]?.value.a).toBe(long);
    expect(rows[1]?.value.a).toBe('\ud800');
  });

  it.each([
    ['{"a":1}\n{"a":', ':2: expected one JSON object'],
    ['{"a":1}\n[1]', ':2: expected one JSON object: got [1]'],
    ['null', ':1: expected one JSON object: got null'],
    ['{"a":1}\n\u001b[2J\u0000', ":2: expected one JSON object: Unexpected token '\\u001b'"],
    [Uint8Array.of(123, 255, 125), ':1: expected one JSON object: The encoded data was not valid'],
  ])('names file and line of %j', async (content, message) => {
    await expect(read(content)).rejects.toThrow(message);
    await expect(read(content)).rejects.toMatchObject({ code: 'data_malformed', details: { path: join(folder, 'rows.jsonl') } });
  });

  it('goes on past rows that cannot be used where told to', async () => {
    const path = join(folder, 'mixed.jsonl');
    await writeFile(path, '{"a":"x"}\n{"a":\n\n{"a":5}\n{"a":"y"}\n');
    const errors: string[] = [];
    const rows = [];
    const parse = (row: JsonRow) => [new RowFields(path, row).string('a'), row.line, row.index];
    for await (const row of parseJsonLines(path, parse, (error) => errors.push(error.message))) rows.push(row);
    expect(rows).toEqual([
      ['x', 1, 0],
      ['y', 5, 3],
    ]);
    expect(errors).toEqual([expect.stringContaining(`${path}:2:`), `${path}:4: expected a string in "a", got 5`]);
    await expect(parseJsonLines(path, parse).next()).resolves.toMatchObject({ done: false });
  });

  it('tells a missing file', async () => {
    await expect(requireFiles([folder, join(folder, 'none.jsonl')])).rejects.toMatchObject({ code: 'file_not_found' });
    await expect(readJsonLines(join(folder, 'none.jsonl')).next()).rejects.toMatchObject({ code: 'file_not_found' });
    await expect(readJsonLines(folder).next()).rejects.toMatchObject({ code: 'file_unreadable' });
  });

  it('gives back any rows', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.dictionary(fc.string(), fc.jsonValue())), async (rows) => {
        const text = rows.map((row) => JSON.stringify(row)).join('\n');
        expect((await read(text)).map(({ value }) => value)).toEqual(
          rows.map((row) => JSON.parse(JSON.stringify(row)) as JsonValue),
        );
      }),
      { numRuns: 30 },
    );
  });
});

it('parseWithFloats keeps 45.0 apart from 45', () => {
  expect(parseWithFloats('{"a":[45, 45.0, 1e2, "4.5"]}')).toEqual({ a: [45, new PythonFloat(45), new PythonFloat(100), '4.5'] });
});

it('RowFields names what was expected', () => {
  const fields = new RowFields('f.jsonl', { value: { a: 1, b: ['x', 2], c: 'text' }, line: 7, index: 0, text: '' });
  expect(fields.number('a')).toBe(1);
  expect(fields.string('c')).toBe('text');
  expect(() => fields.string('a')).toThrow('f.jsonl:7: expected a string in "a", got 1');
  expect(() => fields.strings('b')).toThrow('a list of strings in "b"');
  expect(() => fields.value('z')).toThrow('got nothing');
});
