import { appendFileSync } from 'node:fs';
import { type FileHandle, open, readFile, rename, writeFile } from 'node:fs/promises';
import { KvsiftError } from '@kvsift/tensor';
import { keyOf, type Result, type ResultKey, resultSchema } from './result.js';

/** What a results file holds. */
export interface StoredResults {
  readonly results: readonly Result[];
  /** Bytes behind the last whole line: what was being written when the process died. */
  readonly tornBytes: number;
}

/**
 * Reads a results file; a missing one is empty. Only the last line may be torn.
 * @throws KvsiftError `data_malformed` with file and line for anything else that is no result, and for results stored twice
 */
export async function readResults(path: string): Promise<StoredResults> {
  const { results, tornBytes } = await scan(path);
  return { results, tornBytes };
}

/** Results as they come, one JSON line each that is fsynced while the next result is being made. One writer at a time: see `takeLock`. */
export class ResultStore implements AsyncDisposable {
  readonly #keys: Set<string>;
  #results: readonly Result[];
  #failed: number;
  /** Until all lines so far are on the disk. */
  #synced: Promise<void> = Promise.resolve();

  private constructor(
    private readonly path: string,
    private file: FileHandle,
    results: readonly Result[],
    /** Bytes of a torn last line that were removed. */
    readonly repairedBytes: number,
  ) {
    this.#keys = new Set(results.map(keyOf));
    this.#results = results;
    this.#failed = results.filter(hasFailed).length;
  }

  /** Opens or makes a results file and removes a torn last line. @throws KvsiftError as `readResults` */
  static async open(path: string): Promise<ResultStore> {
    const { results, tornBytes, wholeBytes } = await scan(path);
    const file = await open(path, 'a');
    try {
      if (tornBytes > 0) {
        await file.truncate(wholeBytes);
        await file.sync();
      }
    } catch (error) {
      await file.close();
      throw error;
    }
    return new ResultStore(path, file, results, tornBytes);
  }

  /** What was there when the file was opened and has not been taken out since. */
  get results(): readonly Result[] {
    return this.#results;
  }

  /** Stored results that are errors. */
  get failed(): number {
    return this.#failed;
  }

  /** Whether the folder has a result for this sample, policy, budget and manifest, errors included. */
  has(key: ResultKey): boolean {
    return this.#keys.has(keyOf(key));
  }

  /**
   * Stores a result: when this resolves the system has the line, and this process may be killed; the ones before are on the disk, and `settle` waits for this one.
   * @throws KvsiftError `data_malformed` where it is stored already; what an earlier line could not be written for
   */
  async append(result: Result): Promise<void> {
    const key = keyOf(result);
    if (this.#keys.has(key)) throw new KvsiftError('data_malformed', `this result is stored already: ${key}`, { key });
    this.#keys.add(key);
    if (hasFailed(result)) this.#failed += 1;
    await this.#synced;
    // Handing it over takes microseconds; a thread would first have to be free. The disk takes its time beside the next sample.
    appendFileSync(this.file.fd, `${JSON.stringify(result)}\n`);
    this.#synced = this.#synced.then(() => this.file.datasync());
    this.#synced.catch(() => {});
  }

  /** Waits until all lines are on the disk. @throws what kept one from it */
  async settle(): Promise<void> {
    await this.#synced;
  }

  /**
   * Takes failed results out, so that they can be made again; before anything is appended. A process that is killed leaves the file as it was or as it
   * shall be.
   */
  async removeFailed(which: (result: Result) => boolean): Promise<void> {
    const removed = new Set(this.#results.filter((result) => hasFailed(result) && which(result)));
    if (removed.size === 0) return;
    const lines = (await readFile(this.path, 'utf8')).split('\n').filter((_, index) => {
      const result = this.#results[index];
      return result === undefined || !removed.has(result);
    });
    const draft = `${this.path}.draft`;
    await writeFile(draft, lines.join('\n'), { flush: true });
    await this.file.close();
    await rename(draft, this.path);
    this.file = await open(this.path, 'a');
    this.#results = this.#results.filter((result) => !removed.has(result));
    for (const result of removed) this.#keys.delete(keyOf(result));
    this.#failed -= removed.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Whoever closes it because of another error is told that one.
    await this.#synced.catch(() => {});
    await this.file.close();
  }
}

function hasFailed({ error }: Result): boolean {
  return error !== undefined;
}

async function scan(path: string): Promise<StoredResults & { readonly wholeBytes: number }> {
  const bytes = await readIfThere(path);
  const end = bytes.lastIndexOf(10) + 1;
  const results: Result[] = [];
  const lines = new Map<string, number>();
  for (const [index, line] of bytes.toString('utf8', 0, end).split('\n').slice(0, -1).entries()) {
    const result = parseLine(path, index + 1, line);
    const key = keyOf(result);
    const before = lines.get(key);
    if (before !== undefined) {
      throw malformed(path, index + 1, `the same result as line ${before}`);
    }
    lines.set(key, index + 1);
    results.push(result);
  }
  return { results, tornBytes: bytes.length - end, wholeBytes: end };
}

async function readIfThere(path: string): Promise<Buffer> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new KvsiftError('file_unreadable', `${path}: ${error.message}`, { path }, { cause: error });
  });
  if (file === undefined) return Buffer.alloc(0);
  try {
    return await file.readFile();
  } finally {
    await file.close();
  }
}

function parseLine(path: string, line: number, text: string): Result {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed(path, line, 'expected a JSON object');
  }
  const checked = resultSchema.safeParse(value);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw malformed(path, line, `${issue?.path.join('.')}: ${issue?.message}`);
}

function malformed(path: string, line: number, problem: string): KvsiftError {
  return new KvsiftError('data_malformed', `${path}, line ${line}: ${problem}`, { path, line });
}
