import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type JsonRow, type JsonValue, readJsonLines } from '@kvsift/eval-text';
import { KvsiftError } from '@kvsift/tensor';
import type { Tally } from './tally.js';

/** Knows one kind of file: which names it has and how its cases are run. */
export interface CaseFile {
  /** Tested against the file's path inside the folder, with `/`. */
  readonly pattern: RegExp;
  /** Runs all cases of the file; a file that cannot be read is thrown. */
  run(path: string, name: string, tally: Tally): Promise<void>;
}

/** A file of one case per line. */
export function rowFile(pattern: RegExp, check: (row: JsonRow) => void): CaseFile {
  return {
    pattern,
    async run(path, name, tally) {
      for await (const row of readJsonLines(path)) tally.run(`${name}:${row.line}`, () => check(row));
    },
  };
}

/** @throws KvsiftError `file_unreadable` or `data_malformed` */
export async function readJson(path: string): Promise<JsonValue> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new KvsiftError('file_unreadable', `${path} cannot be read: ${String(cause)}`, { path }, { cause });
  }
  try {
    return JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw new KvsiftError(
      'data_malformed',
      `${path}: expected JSON, got ${JSON.stringify(text.slice(0, 60))}`,
      { path },
      { cause },
    );
  }
}

/** All rows of a file that means refer to; none where the folder does not hold it. */
export async function readRowsIfThere(path: string): Promise<JsonRow[]> {
  const rows: JsonRow[] = [];
  if (existsSync(path)) for await (const row of readJsonLines(path)) rows.push(row);
  return rows;
}
