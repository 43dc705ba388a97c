import { appendFile, readFile, truncate } from 'node:fs/promises';
import { KvsiftError } from '@kvsift/tensor';
import { z } from 'zod';
import { checkWritable } from './output-paths.js';

/** What a reading depends on, and nothing else: two that agree here are the same. */
const keySchema = z.object({
  model: z.string(),
  /** Hash of the chunk's token ids. */
  text: z.string(),
  backend: z.string(),
  kernels: z.string(),
  compute: z.string(),
  policy: z.string(),
  budget: z.string(),
  prefill: z.number(),
});

/** One chunk under one cell: a line of the file. */
const readingSchema = keySchema.extend({
  chunk: z.number(),
  tokens: z.number(),
  nlls: z.array(z.number()),
  correct: z.array(z.number()),
  cacheBytes: z.number(),
  seconds: z.number(),
});

export type LmReadingKey = z.output<typeof keySchema>;
export type LmReading = z.output<typeof readingSchema>;

/** Readings that are kept from one call of the command to the next. */
export interface LmReadings {
  find(key: LmReadingKey): LmReading | undefined;
  add(reading: LmReading): Promise<void>;
}

/** How a line begins, as far as it is the same for all: tells a torn one from what somebody else wrote. */
const lineStart = '{"model":"';

/**
 * Opens a file of readings to continue it, and cuts off a torn last line. Without a path nothing is kept.
 * @throws KvsiftError `data_malformed` for a file that holds something else, which is left as it is; `file_unreadable` where it cannot be read or written
 */
export async function openReadings(path: string | undefined): Promise<LmReadings> {
  if (path === undefined) return { find: () => undefined, add: async () => {} };
  await checkWritable(path);
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  });
  const end = bytes.lastIndexOf('\n') + 1;
  const stored = bytes
    .toString('utf8', 0, end)
    .split('\n')
    .flatMap((line, index) => (line === '' ? [] : [parseReading(path, index + 1, line)]));
  const rest = bytes.toString('utf8', end);
  if (rest !== '') {
    const torn = parse(rest) === undefined && (stored.length > 0 || rest.startsWith(lineStart));
    if (!torn) throw foreign(path, stored.length + 1);
    await truncate(path, end);
  }
  return {
    find: (key) => stored.find((one) => keySchema.keyof().options.every((name) => one[name] === key[name])),
    add: (reading) => appendFile(path, `${JSON.stringify(reading)}\n`),
  };
}

function parseReading(path: string, line: number, text: string): LmReading {
  const checked = readingSchema.safeParse(parse(text));
  if (checked.success) return checked.data;
  throw foreign(path, line);
}

function foreign(path: string, line: number): KvsiftError {
  return new KvsiftError(
    'data_malformed',
    `${path}, line ${line}: expected a reading of this version of kvsift lm; nothing was changed, give another --out`,
    { path, line },
  );
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
