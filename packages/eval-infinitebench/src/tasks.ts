/** The twelve tasks in the order of the paper's tables. */
export const INFINITE_BENCH_TASKS = [
  'passkey',
  'number_string',
  'kv_retrieval',
  'longbook_sum_eng',
  'longbook_choice_eng',
  'longbook_qa_eng',
  'longbook_qa_chn',
  'longdialogue_qa_eng',
  'math_find',
  'math_calc',
  'code_run',
  'code_debug',
] as const;

/** A task of InfiniteBench; its data file is `NAME.jsonl`. */
export type InfiniteBenchTask = (typeof INFINITE_BENCH_TASKS)[number];

/** Prompt and limits of one task. */
export interface TaskFacts {
  /** Title in the paper. */
  readonly title: string;
  /** Rows of the published file. */
  readonly rows: number;
  readonly maxNewTokens: number;
  /** The three pieces of the prompt; joined they are the reference's template. */
  readonly template: readonly [context: string, question: string, answerPrefix: string];
}

const OPTIONS = 'A. {OPTION_A}\nB. {OPTION_B}\nC. {OPTION_C}\nD. {OPTION_D}\n\n';

/**
 * The base-model templates of the reference (its "yarn-mistral" set, which NACL uses for Llama 3). Plain completion: no chat template.
 * Source: OpenBMB/InfiniteBench 88b3daa (MIT).
 */
export const TASK_FACTS: Readonly<Record<InfiniteBenchTask, TaskFacts>> = {
  passkey: {
    title: 'Retrieve.PassKey',
    rows: 590,
    maxNewTokens: 6,
    template: [
      'There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. I will quiz you about the important information.\n\n{context}',
      '\n\n{input}\n\n',
      'The pass key is',
    ],
  },
  number_string: {
    title: 'Retrieve.Number',
    rows: 590,
    maxNewTokens: 12,
    template: [
      'There is an important info hidden inside a lot of irrelevant text. Find it. I will quiz you about the important information there.\n\n{context}',
      '\n\n{input}\n\n',
      'The sequence of digits is',
    ],
  },
  kv_retrieval: {
    title: 'Retrieve.KV',
    rows: 500,
    maxNewTokens: 50,
    template: ['Extract the value corresponding to the specified key in the JSON object below.\n\n{context}', '\n\n{input}', ''],
  },
  longbook_sum_eng: {
    title: 'En.Sum',
    rows: 103,
    maxNewTokens: 1200,
    template: ['Summarize the book below.\n\n{context}', '\n\n', 'Summary:'],
  },
  longbook_choice_eng: {
    title: 'En.MC',
    rows: 229,
    maxNewTokens: 40,
    template: [
      'Read the book and answer the question.\n\n{context}',
      `\n\nQuestion: {question}\n${OPTIONS}`,
      'The letter of the correct answer is',
    ],
  },
  longbook_qa_eng: {
    title: 'En.QA',
    rows: 351,
    maxNewTokens: 40,
    template: [
      'Read the book and answer the question. Be very concise in your answer.\n\n{context}',
      '\n\nQuestion: {question}\n',
      'Answer:',
    ],
  },
  longbook_qa_chn: {
    title: 'Zh.QA',
    rows: 189,
    maxNewTokens: 40,
    template: ['阅读以下书籍然后回答问题。\n\n{context}', '\n\n问题：{question}\n', '答案：'],
  },
  longdialogue_qa_eng: {
    title: 'En.Dia',
    rows: 200,
    maxNewTokens: 40,
    template: [
      'Below is a dialogue script where one random occurrence of a character name is replaced with "$$MASK$$", and you should try to guess who that character is.\n\n{context}',
      '\n\n',
      'The name that has been replaced with $$MASK$$ is likely',
    ],
  },
  math_find: { title: 'Math.Find', rows: 350, maxNewTokens: 3, template: ['{prefix}\n\n{context}', '\n\n{input}', ''] },
  math_calc: {
    title: 'Math.Calc',
    rows: 50,
    maxNewTokens: 30000,
    template: [
      'Let us calculate the intermediate values of an expression.\n\nExpression: 1 + 3 + 4\nValues: [1, 4, 8]\n\nExpression: 8 - 3 + 2 - 4\nValues: [8, 5, 7, 3]\n\nExpression: {context}',
      '\n',
      'Values:',
    ],
  },
  code_run: {
    title: 'Code.Run',
    rows: 400,
    maxNewTokens: 5,
    template: [
      'There is a function called {func} in the following Python code.\n\n{context}',
      '\n\nPlease compute the exact value of {func_call}. ',
      'The value of {func_call} is',
    ],
  },
  code_debug: {
    title: 'Code.Debug',
    rows: 394,
    maxNewTokens: 5,
    template: [
      'Following is a Python code where exactly one of the functions/methods has a deliberate error that makes it crash.\n\n{context}',
      `\n\nOptions:\n${OPTIONS}`,
      'The correct option is:',
    ],
  },
};

/** The tasks that NACL runs: all but the one whose labels leave out what its prompt shows. */
export const NACL_TASKS: readonly InfiniteBenchTask[] = INFINITE_BENCH_TASKS.filter((task) => task !== 'math_calc');
