import { readFile } from 'node:fs/promises';
import { KvsiftError } from '@kvsift/tensor';

/** A question with the documents that answer it. Documents are given by their index. */
export interface QaQuestion {
  readonly query: string;
  readonly answers: readonly string[];
  /** Always in the context. */
  readonly gold: readonly number[];
  /** Taken next, before documents of other questions. */
  readonly related: readonly number[];
}

/** What a question-answering task draws from. */
export interface QaData {
  readonly documents: readonly string[];
  readonly questions: readonly QaQuestion[];
}

interface SquadFile {
  readonly data: readonly {
    readonly paragraphs: readonly {
      readonly context: string;
      readonly qas: readonly {
        readonly question: string;
        readonly is_impossible?: boolean;
        readonly answers: readonly { readonly text: string }[];
      }[];
    }[];
  }[];
}

type HotpotFile = readonly {
  readonly question: string;
  readonly answer: string;
  readonly context: readonly (readonly [title: string, sentences: readonly string[]])[];
}[];

async function readFileAs<T>(path: string, what: string, convert: (file: T) => QaData): Promise<QaData> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new KvsiftError('file_not_found', `expected ${what} at ${path}: ${String(cause)}`, { path }, { cause });
  }
  try {
    const data = convert(JSON.parse(text) as T);
    if (data.questions.length > 0) return data;
  } catch (cause) {
    throw new KvsiftError(
      'data_malformed',
      `${path}: expected ${what}, got ${JSON.stringify(text.slice(0, 60))}`,
      { path },
      { cause },
    );
  }
  throw new KvsiftError('data_malformed', `${path}: expected ${what} with questions, found none`, { path });
}

/** Distinct texts, sorted, with the index of each. */
function index(texts: Iterable<string>): { documents: string[]; at: Map<string, number> } {
  const documents = [...new Set(texts)].sort();
  return { documents, at: new Map(documents.map((text, i) => [text, i])) };
}

function fromSquad({ data }: SquadFile): QaData {
  const { documents, at } = index(data.flatMap(({ paragraphs }) => paragraphs.map(({ context }) => context)));
  const questions = data.flatMap(({ paragraphs }) => {
    const article = [...new Set(paragraphs.map(({ context }) => at.get(context) ?? 0))];
    return paragraphs.flatMap(({ context, qas }) => {
      const gold = at.get(context) ?? 0;
      return qas
        .filter((qa) => qa.is_impossible !== true)
        .map(({ question, answers }) => ({
          query: question,
          answers: answers.map(({ text }) => text),
          gold: [gold],
          related: article.filter((i) => i !== gold),
        }));
    });
  });
  return { documents, questions };
}

const hotpotDocument = ([title, sentences]: readonly [string, readonly string[]]) => `${title}\n${sentences.join('')}`;

function fromHotpot(file: HotpotFile): QaData {
  const { documents, at } = index(file.flatMap(({ context }) => context.map(hotpotDocument)));
  const questions = file.map(({ question, answer, context }) => ({
    query: question,
    answers: [answer],
    gold: [...new Set(context.map((document) => at.get(hotpotDocument(document)) ?? 0))],
    related: [],
  }));
  return { documents, questions };
}

/** SQuAD 2.0 (`dev-v2.0.json`): answerable questions in file order. @throws KvsiftError `file_not_found`, `data_malformed` */
export const readSquad = (path: string): Promise<QaData> => readFileAs(path, 'a SQuAD 2.0 file', fromSquad);

/** HotpotQA (`hotpot_dev_distractor_v1.json`). @throws KvsiftError `file_not_found`, `data_malformed` */
export const readHotpot = (path: string): Promise<QaData> => readFileAs(path, 'a HotpotQA distractor file', fromHotpot);
