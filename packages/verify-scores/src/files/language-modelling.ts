import { cacheLengths, chunkDocuments, summarizeChunk } from '@kvsift/eval-lm';
import type { JsonValue } from '@kvsift/eval-text';
import { type CaseFile, readJson } from '../case-file.js';
import { expectClose, expectColumns, expectSame } from '../compare.js';
import { Mismatch } from '../tally.js';

type Row = Readonly<Record<string, JsonValue>>;

/** In these cases a token is the code of a character; 1 begins and 2 ends a text. */
const idsOf = (text: string) => Array.from(text, (character) => character.codePointAt(0) ?? 0);

const CHECKS: Readonly<Record<string, (row: Row) => void>> = {
  chunking(row) {
    expectColumns(row, ['docs', 'chunk_size', 'merge_chunks', 'chunks']);
    const options = { chunkSize: Number(row.chunk_size), merge: row.merge_chunks === true, bos: 1, eos: 2 };
    expectSame('chunks', [...chunkDocuments((row.docs as readonly string[]).map(idsOf), options)], row.chunks);
  },
  summary(row) {
    expectColumns(row, ['nlls', 'correct', 'ppl', 'next_token_acc', 'cumulative_ppl', 'cumulative_acc']);
    const summary = summarizeChunk({ nlls: row.nlls as readonly number[], correct: row.correct as readonly number[] });
    expectClose('ppl', summary.perplexity, row.ppl);
    expectClose('next_token_acc', summary.accuracy, row.next_token_acc);
    expectClose('cumulative_ppl', summary.runningPerplexity, row.cumulative_ppl);
    expectClose('cumulative_acc', summary.runningAccuracy, row.cumulative_acc);
  },
  growing_cache_lengths(row) {
    expectColumns(row, ['keep_ratio', 'prune_after', 'steps', 'cache_len_after_each_step']);
    const schedule = { keepRatio: Number(row.keep_ratio), pruneAfter: Number(row.prune_after) };
    expectSame('cache_len_after_each_step', cacheLengths(Number(row.steps), schedule), row.cache_len_after_each_step);
  },
};

/** Chunks, summaries and cache lengths of the language-modelling protocol. */
export const languageModelling: CaseFile = {
  pattern: /^lm-cases\.json$/,
  async run(path, name, tally) {
    for (const [part, rows] of Object.entries((await readJson(path)) as Record<string, JsonValue>)) {
      if (part === 'note') continue;
      const check = CHECKS[part];
      (rows as readonly Row[]).forEach((row, i) => {
        tally.run(`${name}:${part}:${i}`, () => {
          if (check === undefined) throw new Mismatch(`no check knows the part "${part}"`);
          check(row);
        });
      });
    }
  },
};
