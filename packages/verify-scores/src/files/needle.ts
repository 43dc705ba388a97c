import { kvpressRouge, type Needle, SANDWICH, scoreNeedle } from '@kvsift/eval-needle';
import { type JsonValue, type RougeScore, rouge1, rougeL } from '@kvsift/eval-text';
import { isKvsiftError } from '@kvsift/tensor';
import { type CaseFile, readJson } from '../case-file.js';
import { expectClose, expectColumns, expectSame } from '../compare.js';
import { Mismatch } from '../tally.js';

const COLUMNS = ['id', 'response', 'rouge1_f_x10', 'rouge1', 'rougeL_f', 'overlap', 'kvpress'];

/** An error is written as `Kind: message`. */
function kvpressScores(response: string, needle: string): JsonValue {
  const named = ({ precision: p, recall: r, f1: f }: RougeScore) => ({ r, p, f });
  try {
    const { rouge1: one, rouge2: two, rougeL: longest } = kvpressRouge(response, needle);
    return { 'rouge-1': named(one), 'rouge-2': named(two), 'rouge-l': named(longest) };
  } catch (error) {
    if (isKvsiftError(error) && error.code === 'score_error') return `${String(error.details.kind)}: ${error.message}`;
    throw error;
  }
}

function checkCase(row: Readonly<Record<string, JsonValue>>, needle: Needle): void {
  expectColumns(row, COLUMNS);
  const { response } = row;
  if (typeof response !== 'string') throw new Mismatch('expected a text as response');
  const { precision, recall, f1: fmeasure } = rouge1(response, needle.text, { stem: true });
  expectClose('rouge1', { precision, recall, fmeasure }, row.rouge1);
  expectClose('rouge1_f_x10', 10 * scoreNeedle(response, needle, 'rouge1'), row.rouge1_f_x10);
  expectClose('rougeL_f', rougeL(response, needle.text, { stem: true }).f1, row.rougeL_f);
  expectClose('overlap', scoreNeedle(response, needle, 'overlap'), row.overlap);
  expectClose('kvpress', kvpressScores(response, needle.text), row.kvpress);
}

/** Responses with the scores of three libraries. */
export const needleScores: CaseFile = {
  pattern: /^needle[^/]*-scores\.json$/,
  async run(path, name, tally) {
    const file = (await readJson(path)) as Record<string, JsonValue>;
    const needle = { text: String(file.needle), answer: String(file.expected_answer) };
    tally.run(`${name}:needle`, () => expectSame('needle', SANDWICH, { ...needle }));
    for (const row of file.cases as readonly Record<string, JsonValue>[])
      tally.run(`${name}:${row.id}`, () => checkCase(row, needle));
  },
};
