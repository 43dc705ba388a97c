import { type ErrorCode, KvsiftError } from '@kvsift/tensor';
import { duplicateKey } from './duplicate-key.js';
import { readInto, withFile } from './regular-file.js';

/** JSON that is not the data of a model is never larger: the largest published tokenizer.json has 34 MB. */
const maxJsonBytes = 256 * 1024 * 1024;

/**
 * Strict JSON: valid UTF-8, no NaN or comments, no key twice in one object.
 * @param what names the text in messages: a path, and the part of the file
 * @throws KvsiftError with `code`
 */
export function parseJson(bytes: Uint8Array, what: string, code: ErrorCode): unknown {
  const text = decodeUtf8(bytes, what, code);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new KvsiftError(code, `${what} is not JSON: ${reason}`, { what }, { cause: error });
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) throw new KvsiftError(code, `${what} names the key "${twice}" twice`, { what, key: twice });
  return value;
}

function decodeUtf8(bytes: Uint8Array, what: string, code: ErrorCode): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new KvsiftError(code, `${what} is not valid UTF-8`, { what }, { cause: error });
  }
}

/**
 * Reads a text file of at most 256 MiB.
 * @throws KvsiftError `file_not_found`, `file_unreadable`, and `code` where it is larger
 */
export async function readSmallFile(path: string, code: ErrorCode): Promise<Uint8Array> {
  return withFile(path, async (handle, { size }) => {
    if (size > maxJsonBytes) {
      throw new KvsiftError(code, `${path} has ${size} bytes; a file of this kind has at most ${maxJsonBytes}`, { path, size });
    }
    const bytes = new Uint8Array(size);
    await readInto(handle, path, bytes, 0);
    return bytes;
  });
}

/**
 * Reads a strict JSON file.
 * @throws KvsiftError `file_not_found`, `file_unreadable`, and `code` where the text is not strict JSON
 */
export async function readJsonFile(path: string, code: ErrorCode): Promise<unknown> {
  return parseJson(await readSmallFile(path, code), path, code);
}
