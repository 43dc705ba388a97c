import { constants, createReadStream } from 'node:fs';
import { access } from 'node:fs/promises';
import { isKvsiftError, KvsiftError } from '@kvsift/tensor';
import { parse as parseLossless } from 'lossless-json';

/** Anything JSON can hold. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };
/** One object of a JSON-lines file and where it stood. */
export interface JsonRow {
  readonly value: Readonly<Record<string, JsonValue>>;
  /** 1-based line of the file. */
  readonly line: number;
  /** 0-based number of the row, empty lines not counted. */
  readonly index: number;
  /** The line as it was read; see {@link parseWithFloats}. */
  readonly text: string;
}

const fileError = (path: string, cause: unknown) => {
  const code = (cause as NodeJS.ErrnoException).code;
  return code === 'ENOENT'
    ? new KvsiftError('file_not_found', `${path} does not exist; give the path of a JSON-lines file`, { path }, { cause })
    : new KvsiftError('file_unreadable', `${path} cannot be read: ${String(cause)}`, { path }, { cause });
};

/** Lines of bytes, split on \n only: U+2028 may stand raw inside JSON strings, so `node:readline` is not an option. */
async function* byteLines(path: string): AsyncGenerator<Buffer> {
  let rest: Buffer[] = [];
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      let from = 0;
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
        yield Buffer.concat([...rest, chunk.subarray(from, at)]);
        rest = [];
        from = at + 1;
      }
      rest.push(chunk.subarray(from));
    }
  } catch (cause) {
    throw fileError(path, cause);
  }
  yield Buffer.concat(rest);
}

/** What happens to a row that cannot be used: throws by default; where it returns, the row is left out. */
export type MalformedRow = (error: KvsiftError) => void;
const throwIt: MalformedRow = (error) => {
  throw error;
};

/** The object of one line. @throws an error that says what there is instead */
function parseObject(text: string): JsonRow['value'] {
  const value = JSON.parse(text) as JsonValue;
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonRow['value'];
  throw new TypeError(`got ${JSON.stringify(value).slice(0, 60)}`);
}

/** A message that quotes a line: what a terminal would obey, or a page not show, is written out. */
function printable(message: string): string {
  return message.replace(/\p{Cc}/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/**
 * Objects of a UTF-8 JSON-lines file, one by one; empty lines are skipped.
 * @throws KvsiftError `file_not_found`, `file_unreadable`; `data_malformed` with path and line goes to `onMalformed`
 */
export async function* readJsonLines(path: string, onMalformed: MalformedRow = throwIt): AsyncGenerator<JsonRow> {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  let line = 0;
  let index = 0;
  for await (const bytes of byteLines(path)) {
    line++;
    if (bytes.every((byte) => byte === 32 || (byte >= 9 && byte <= 13))) continue;
    let row: JsonRow | undefined;
    const position = index++;
    try {
      const text = utf8.decode(bytes);
      row = { value: parseObject(text), line, index: position, text };
    } catch (cause) {
      const what = printable(cause instanceof Error ? cause.message : String(cause));
      onMalformed(
        new KvsiftError('data_malformed', `${path}:${line}: expected one JSON object: ${what}`, { path, line }, { cause }),
      );
    }
    if (row !== undefined) yield row;
  }
}

/**
 * Rows of a file as `parse` makes them.
 * @param parse throws `data_malformed` for a row of the wrong form, which goes to `onMalformed` as well
 * @throws KvsiftError as {@link readJsonLines}
 */
export async function* parseJsonLines<T>(
  path: string,
  parse: (row: JsonRow) => T,
  onMalformed: MalformedRow = throwIt,
): AsyncGenerator<T> {
  for await (const row of readJsonLines(path, onMalformed)) {
    let parsed: { readonly value: T } | undefined;
    try {
      parsed = { value: parse(row) };
    } catch (error) {
      if (!isKvsiftError(error) || error.code !== 'data_malformed') throw error;
      onMalformed(error);
    }
    if (parsed !== undefined) yield parsed.value;
  }
}

/** Makes sure that files are there and may be read. @throws KvsiftError `file_not_found` for the first path that cannot be read, before anything is */
export async function requireFiles(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    try {
      await access(path, constants.R_OK);
    } catch (cause) {
      throw fileError(path, cause);
    }
  }
}

/** A number that was written with a point or exponent: 45.0 is a float in Python where 45 is an int. */
export class PythonFloat {
  constructor(readonly value: number) {}
}

/** JSON in which floats can be told from ints, nested in plain arrays and objects. */
export type FloatAwareJson =
  | null
  | boolean
  | number
  | PythonFloat
  | string
  | FloatAwareJson[]
  | { [key: string]: FloatAwareJson };

/** Parses JSON keeping the kind of its numbers. Slower than `JSON.parse`; meant for the few rows where the kind decides. */
export function parseWithFloats(text: string): FloatAwareJson {
  return parseLossless(text, null, (token: string) => {
    return /[.eE]/.test(token) ? new PythonFloat(Number(token)) : Number(token);
  }) as FloatAwareJson;
}
