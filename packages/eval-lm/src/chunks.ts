import { KvsiftError } from '@kvsift/tensor';

/** How documents become sequences. */
export interface ChunkOptions {
  /** Tokens of a chunk, begin-of-text included; at least 2. */
  readonly chunkSize: number;
  /** `true`: chunks run over document ends, the last partial one is dropped. `false`: only the start of each document, of any length. */
  readonly merge: boolean;
  /** Begin-of-text id; the protocol needs a tokenizer that has one. */
  readonly bos: number;
  /** End-of-text id, appended to each document. */
  readonly eos: number;
}

/**
 * Cuts documents into chunks that begin with begin-of-text (l2compress f93d6ca).
 * @param documents token ids without special tokens
 * @throws KvsiftError `config_invalid` for a chunk size below 2
 */
export function* chunkDocuments(
  documents: Iterable<readonly number[] | Int32Array>,
  { chunkSize, merge, bos, eos }: ChunkOptions,
): Generator<number[]> {
  if (!Number.isInteger(chunkSize) || chunkSize < 2) {
    throw new KvsiftError('config_invalid', `expected a chunk size of at least 2 tokens, got ${chunkSize}`);
  }
  let chunk = [bos];
  for (const document of documents) {
    if (!merge) {
      yield [bos, ...[...document, eos].slice(0, chunkSize - 1)];
      continue;
    }
    for (const id of [...document, eos]) {
      chunk.push(id);
      if (chunk.length < chunkSize) continue;
      yield chunk;
      chunk = [bos];
    }
  }
}
