import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { loadTokenizer } from './load.js';
import type { Tokenizer } from './tokenizer.js';

/** Lines of a file in packages/tokenizer/goldens (made by tools/tokenizer-goldens/make.py). */
export function goldenLines<T>(name: string): T[] {
  const path = new URL(`../goldens/${name}.jsonl`, import.meta.url);
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
}

/** Ids, ids with special tokens as text, decoded, decoded without special tokens: by tokenizers 0.23.1. */
export type RustCase = [text: string, ids: number[], plain: number[], decoded: string, withoutSpecial: string];

export interface RustGolden {
  readonly name: string;
  readonly spec: object;
  readonly cases: readonly RustCase[];
}

/** First line: the model that all specs of the file share. */
export function rustGoldens(name: string): { readonly model: Record<string, unknown>; readonly goldens: readonly RustGolden[] } {
  const [first, ...goldens] = goldenLines<RustGolden & { readonly model: Record<string, unknown> }>(name);
  return { model: first?.model ?? {}, goldens };
}

/** Loads a folder of the given files: JSON values, or text. */
export async function tokenizerOf(files: Readonly<Record<string, unknown>>): Promise<Tokenizer> {
  const folder = await mkdtemp(join(tmpdir(), 'kvsift-tokenizer-'));
  try {
    for (const [name, value] of Object.entries(files)) {
      await writeFile(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value));
    }
    return await loadTokenizer(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Any Unicode scalar value. */
export const anyCharacter = fc
  .oneof(fc.nat(0x2ff), fc.nat(0xd7ff), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .filter((code) => code < 0xd800 || code > 0xdfff)
  .map((code) => String.fromCodePoint(code));
