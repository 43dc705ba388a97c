import type { InfiniteBenchTask, TaskFacts } from './tasks.js';

/** Tokens that kvpress lets each task generate beyond the reference. */
export const KVPRESS_MORE_TOKENS = 20;

/**
 * How kvpress asks: another wording, cut where its evaluation cuts (context, question, answer prefix). Math.Find has its instruction in the context, too. Source: NVIDIA/kvpress 8bb29b9 (Apache-2.0),
 * evaluation, create_huggingface_dataset.py.
 */
export const KVPRESS_TEMPLATES: Readonly<Record<InfiniteBenchTask, TaskFacts['template']>> = {
  passkey: [
    'There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there.\n\n{context}\n\n',
    '{input}',
    'The pass key is:',
  ],
  number_string: [
    'There is an important info hidden inside a lot of irrelevant text. Find it. I will quiz you about the important information there.\n\n{context}\n\n',
    '{input}',
    'The sequence of digits is',
  ],
  kv_retrieval: [
    'Extract the value corresponding to the specified key in the JSON object below.\n\n{context}\n\n',
    '{input}',
    'The value associated with the specified key is',
  ],
  longbook_sum_eng: ['Summarize the book below:\n\n{context}\n\n', '{input}', 'Summary:'],
  longbook_choice_eng: [
    'Read the book and answer the question.\n\n{context}\n\n',
    "{input}\n\nOnly one of the following options is correct, tell me the answer using one single letter (A, B, C, or D). Don't say anything else.\nA. {OPTION_A}\nB. {OPTION_B}\nC. {OPTION_C}\nD. {OPTION_D}",
    'The letter of the correct answer is',
  ],
  longbook_qa_eng: [
    'Read the book below and answer a question. Be very concise in your answer.\n\n{context}\n\n',
    '{input}',
    'Answer:',
  ],
  longbook_qa_chn: ['请根据以下书籍回答我的问题。\n\n{context}\n\n', '{input}', '答案：'],
  longdialogue_qa_eng: [
    'Below is a dialogue script where one random occurrence of a character name is replaced with "$$MASK$$", and you should try to guess who that character is.\n\n{context}\n\n',
    '{input}',
    'The name that has been replaced with $$MASK$$ is likely',
  ],
  math_find: ['{prefix}\n\n{context}\n\n{input}\n\n', '{input}', ''],
  math_calc: [
    'Let us calculate the intermediate values of an expression.\n\nExpression: 1 + 3 + 4\nValues: [1, 4, 8]\n\nExpression: 8 - 3 + 2 - 4\nValues: [8, 5, 7, 3]\n\nExpression: {context}\n\n',
    '{input}',
    'Values:',
  ],
  code_run: [
    'There is a function called {func} in the following Python code.\n\n{context}\n\n',
    '{input}',
    'The return value is:',
  ],
  code_debug: [
    'Following is a Python code where exactly one of the functions/methods has a deliberate error that makes it crash.\n\n{context}\n\n',
    '{input}\n\nOptions:\nA. {OPTION_A}\nB. {OPTION_B}\nC. {OPTION_C}\nD. {OPTION_D}',
    'The correct option is:',
  ],
};

/** The end of the row's own instruction that kvpress takes out where its answer prefix says it: of the question in Retrieve.KV, of the context in Math.Find. */
export const KVPRESS_TAKEN_OUT: Readonly<Partial<Record<InfiniteBenchTask, string>>> = {
  kv_retrieval: 'The value associated with the specified key is:',
  math_find: 'You should answer with only one number, no other words. The largest number of the list is:',
};
