import { type JsonRow, type MalformedRow, parseJsonLines, RowFields } from '@kvsift/eval-text';
import type { LongBenchExpected } from './score.js';

/** One row of a data file. */
export interface LongBenchRow {
  /** The row's `_id`, or its 0-based position where it has none. */
  readonly id: string;
  readonly input: string;
  readonly context: string;
  readonly expected: LongBenchExpected;
  /** Words of context, input and answers (characters in Chinese). */
  readonly length: number;
}

/** Takes from a line of `path` what LongBench scores, checked. @throws KvsiftError `data_malformed` with file, line and field */
export function parseRow(path: string, row: JsonRow): LongBenchRow {
  const fields = new RowFields(path, row);
  const { all_classes: classes, _id: id } = row.value;
  return {
    id: id === undefined ? String(row.index) : fields.string('_id'),
    input: fields.string('input'),
    context: fields.string('context'),
    expected: {
      answers: fields.strings('answers'),
      allClasses: classes === null || classes === undefined ? null : fields.strings('all_classes'),
    },
    length: fields.number('length'),
  };
}

/** All rows of a file. @throws KvsiftError as {@link parseRow} and `readJsonLines`; `data_malformed` too where an id comes twice */
export function readRows(path: string, onMalformed?: MalformedRow): AsyncGenerator<LongBenchRow> {
  const seen = new Set<string>();
  const parseNew = (json: JsonRow) => {
    const row = parseRow(path, json);
    if (seen.has(row.id)) new RowFields(path, json).reject('_id', 'an id that no row before has');
    seen.add(row.id);
    return row;
  };
  return parseJsonLines(path, parseNew, onMalformed);
}
