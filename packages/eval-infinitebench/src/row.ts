import {
  type FloatAwareJson,
  type JsonRow,
  type MalformedRow,
  PythonFloat,
  parseJsonLines,
  parseWithFloats,
  RowFields,
} from '@kvsift/eval-text';
import { encodeLabel, type Label } from './label.js';
import type { InfiniteBenchTask } from './tasks.js';

/** One row of a data file with its answer in the form that the scorers take. */
export interface InfiniteBenchRow {
  /** 0-based position in the file, which the published runs use as id. */
  readonly position: number;
  readonly context: string;
  /** The question or instruction; empty in tasks that have none. */
  readonly input: string;
  /** Four texts in the two multiple-choice tasks, else empty. */
  readonly options: readonly string[];
  readonly label: Label;
}

const LETTERS = 'ABCD';
const NUMERIC_TASKS: ReadonlySet<string> = new Set(['math_find', 'math_calc', 'code_run']);

/** `[text of the right option, its letter]` from a text, a letter, a list of one of them, or the pair itself. */
function choiceLabel(fields: RowFields, options: readonly string[]): Label {
  const value = fields.value('answer');
  const answers = Array.isArray(value) ? value : [value];
  const [first, second] = answers;
  if (typeof first !== 'string') return fields.reject('answer', 'the text of an option');
  if (answers.length === 2 && typeof second === 'string' && /^[A-D]$/.test(second)) return [first, second];
  const index = options.includes(first) ? options.indexOf(first) : LETTERS.indexOf(first);
  const [text, letter] = [options[index], LETTERS[index]];
  if (answers.length !== 1 || text === undefined || letter === undefined)
    return fields.reject('answer', 'one of the four options');
  return [text, letter];
}

/** Some releases store numbers as text. */
function readNumbers(answer: FloatAwareJson): FloatAwareJson {
  if (Array.isArray(answer)) return answer.map(readNumbers);
  if (typeof answer !== 'string' || !/^[+-]?\d+(\.\d+)?$/.test(answer)) return answer;
  return answer.includes('.') ? new PythonFloat(Number(answer)) : Number(answer);
}

function numericLabel(fields: RowFields, text: string): Label {
  const row = parseWithFloats(text) as { answer?: FloatAwareJson };
  const label = encodeLabel(readNumbers(row.answer ?? null));
  const isNumeric = (value: Label): boolean =>
    typeof value === 'number' ||
    (Array.isArray(value) ? value.length > 0 && value.every(isNumeric) : typeof value === 'object' && value !== null);
  return isNumeric(label) ? label : fields.reject('answer', 'a number or a list of numbers');
}

function textLabel(fields: RowFields): Label {
  const value = fields.value('answer');
  const isText = (item: Label) => typeof item === 'string' || typeof item === 'number';
  return isText(value) || (Array.isArray(value) && value.length > 0 && value.every(isText))
    ? value
    : fields.reject('answer', 'a text or a list of texts');
}

/** The call that a Code.Run row asks for. */
export const CALL = /func_[0-9]+\(-?[0-9]+\)/;
/** What a Math.Find row asks for, up to its last "of". */
export const TARGET = /The .+ of/;

function inputOf(task: InfiniteBenchTask, fields: RowFields): string {
  if (fields.row.value.input === undefined && task !== 'code_run' && task !== 'math_find') return '';
  const input = fields.string('input');
  if (task === 'code_run' && !CALL.test(input)) return fields.reject('input', 'a call such as func_1(2)');
  if (task === 'math_find' && !TARGET.test(input)) return fields.reject('input', 'a phrase such as "The largest number of"');
  return input;
}

/**
 * Reads a row of any release: `content` for `context`, answers plain or in a list, numbers as numbers or as text.
 * @throws KvsiftError `data_malformed` with file, line and field
 */
export function parseRow(path: string, task: InfiniteBenchTask, row: JsonRow): InfiniteBenchRow {
  const fields = new RowFields(path, row);
  const isChoice = task === 'longbook_choice_eng' || task === 'code_debug';
  const options = isChoice ? fields.strings('options') : [];
  if (isChoice && options.length !== 4) fields.reject('options', 'four options');
  return {
    position: row.index,
    context: fields.string('content' in row.value ? 'content' : 'context'),
    input: inputOf(task, fields),
    options,
    label: isChoice ? choiceLabel(fields, options) : NUMERIC_TASKS.has(task) ? numericLabel(fields, row.text) : textLabel(fields),
  };
}

/** All rows of a file of `task`. @throws KvsiftError as {@link parseRow} and `readJsonLines` */
export const readRows = (path: string, task: InfiniteBenchTask, onMalformed?: MalformedRow): AsyncGenerator<InfiniteBenchRow> =>
  parseJsonLines(path, (row) => parseRow(path, task, row), onMalformed);
