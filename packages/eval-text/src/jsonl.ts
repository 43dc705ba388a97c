import { createReadStream } from 'node:fs';
import { KvsiftError } from '@kvsift/tensor';
import { parse as parseLossless } from 'lossless-json';

/** Anything JSON can hold. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };
/** One object of a JSON-lines file and where it stood. */
export interface JsonRow {
  readonly value: Readonly<Record<string, JsonValue>>;
  /** 1-based line of the file. */
  readonly line: number;
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

/**
 * Objects of a UTF-8 JSON-lines file, one by one; empty lines are skipped.
 * @throws KvsiftError `file_not_found`, `file_unreadable`, or `data_malformed` with path and line
 */
export async function* readJsonLines(path: string): AsyncGenerator<JsonRow> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 0;
  for await (const bytes of byteLines(path)) {
    line++;
    const malformed = (what: string, cause?: unknown) =>
      new KvsiftError('data_malformed', `${path}:${line}: expected one JSON object, got ${what}`, { path, line }, { cause });
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch (cause) {
      throw malformed('bytes that are not UTF-8', cause);
    }
    if (text.trim() === '') continue;
    let value: JsonValue;
    try {
      value = JSON.parse(text) as JsonValue;
    } catch (cause) {
      throw malformed(`${JSON.stringify(text.slice(0, 60))} (${(cause as Error).message})`, cause);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(JSON.stringify(value).slice(0, 60));
    yield { value: value as JsonRow['value'], line, text };
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
