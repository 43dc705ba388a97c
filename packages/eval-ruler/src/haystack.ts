import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { splitWords } from '@kvsift/eval-text';
import { KvsiftError } from '@kvsift/tensor';

/** Words of all essays of a folder, by sorted file name, without anything between them. */
export async function readEssayWords(folder: string): Promise<readonly string[]> {
  let names: string[];
  try {
    names = (await readdir(folder)).filter((name) => name.endsWith('.txt')).sort();
  } catch (cause) {
    throw new KvsiftError('file_not_found', `expected a folder of essays (*.txt), got ${folder}`, { path: folder }, { cause });
  }
  if (names.length === 0)
    throw new KvsiftError('file_not_found', `expected essays (*.txt) in ${folder}, found none`, { path: folder });
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  return splitWords(texts.join(''));
}

/** The first `count` words, the list repeated as often as needed. */
export function takeWords(words: readonly string[], count: number): string {
  const whole = Math.floor(count / words.length);
  return [...Array.from({ length: whole }, () => words).flat(), ...words.slice(0, count % words.length)].join(' ');
}

/** Sentences between `.`, `!` or `?` and a space. The reference uses NLTK's punkt model, which is not to be had in JavaScript. */
export function splitSentences(text: string): string[] {
  return text.split(/(?<=[.!?]) /);
}
