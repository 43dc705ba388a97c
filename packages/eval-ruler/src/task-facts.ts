/** Which generator makes the samples of a task, and with what. */
export type TaskRecipe =
  | {
      readonly base: 'niah';
      readonly haystack: 'noise' | 'essay' | 'needle';
      readonly keys: 'words' | 'uuids';
      readonly values: 'numbers' | 'uuids';
      /** Keys, values per key, keys asked for. */
      readonly counts: readonly [keys: number, values: number, queries: number];
    }
  | { readonly base: 'vt'; readonly hops: number }
  | { readonly base: 'cwe'; readonly common: number; readonly commonTimes: number; readonly uncommonTimes: number }
  | { readonly base: 'fwe'; readonly alpha: number }
  | { readonly base: 'qa'; readonly dataset: 'squad' | 'hotpotqa' };

const niah = (
  haystack: 'noise' | 'essay' | 'needle',
  keys: 'words' | 'uuids',
  values: 'numbers' | 'uuids',
  counts: readonly [number, number, number],
) => ({ base: 'niah', haystack, keys, values, counts }) as const;

/** The 13 tasks (Hsieh et al., "RULER: What's the Real Context Size of Your Long-Context Language Models?", COLM 2024, appendix A). */
export const RULER_RECIPES = {
  niah_single_1: niah('noise', 'words', 'numbers', [1, 1, 1]),
  niah_single_2: niah('essay', 'words', 'numbers', [1, 1, 1]),
  niah_single_3: niah('essay', 'words', 'uuids', [1, 1, 1]),
  niah_multikey_1: niah('essay', 'words', 'numbers', [4, 1, 1]),
  niah_multikey_2: niah('needle', 'words', 'numbers', [1, 1, 1]),
  niah_multikey_3: niah('needle', 'uuids', 'uuids', [1, 1, 1]),
  niah_multivalue: niah('essay', 'words', 'numbers', [1, 4, 1]),
  niah_multiquery: niah('essay', 'words', 'numbers', [1, 1, 4]),
  vt: { base: 'vt', hops: 4 },
  cwe: { base: 'cwe', common: 10, commonTimes: 30, uncommonTimes: 3 },
  fwe: { base: 'fwe', alpha: 2 },
  qa_1: { base: 'qa', dataset: 'squad' },
  qa_2: { base: 'qa', dataset: 'hotpotqa' },
} as const satisfies Readonly<Record<string, TaskRecipe>>;

/** A task of RULER. */
export type RulerTask = keyof typeof RULER_RECIPES;
/** The thirteen tasks in their published order. */
export const RULER_TASKS = Object.keys(RULER_RECIPES) as readonly RulerTask[];

/** Prompt and generation length of a kind of task. */
export interface BaseFacts {
  readonly tokensToGenerate: number;
  readonly template: string;
  /** Put after the header of the assistant's turn. */
  readonly answerPrefix: string;
}

/** Source: NVIDIA/RULER c3f5e3b (Apache-2.0). */
export const BASE_FACTS: Readonly<Record<TaskRecipe['base'], BaseFacts>> = {
  niah: {
    tokensToGenerate: 128,
    template:
      'Some special magic {type_needle_v} are hidden within the following text. Make sure to memorize it. I will quiz you about the {type_needle_v} afterwards.\n{context}\nWhat are all the special magic {type_needle_v} for {query} mentioned in the provided text?',
    answerPrefix: ' The special magic {type_needle_v} for {query} mentioned in the provided text are',
  },
  vt: {
    tokensToGenerate: 30,
    template:
      'Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n{context}\nQuestion: Find all variables that are assigned the value {query} in the text above.',
    answerPrefix:
      ' Answer: According to the chain(s) of variable assignment in the text above, {num_v} variables are assigned the value {query}, they are: ',
  },
  cwe: {
    tokensToGenerate: 120,
    template:
      'Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones that appear most often.\n{context}\nQuestion: What are the 10 most common words in the above list?',
    answerPrefix: ' Answer: The top 10 words that appear most often in the list are:',
  },
  fwe: {
    tokensToGenerate: 50,
    template:
      "Read the following coded text and track the frequency of each coded word. Find the three most frequently appeared coded words. {context}\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are the three most frequently appeared words in the above coded text?",
    answerPrefix: ' Answer: According to the coded text above, the three most frequently appeared words are:',
  },
  qa: {
    tokensToGenerate: 32,
    template:
      'Answer the question based on the given documents. Only give me the answer and do not output any other words.\n\nThe following are given documents.\n\n{context}\n\nAnswer the question based on the given documents. Only give me the answer and do not output any other words.\n\nQuestion: {query}',
    answerPrefix: ' Answer:',
  },
};

/** The models' templates of the reference; `{task_template}` is the place of the prompt. */
export const MODEL_TEMPLATES = {
  base: '{task_template}',
  'meta-chat': '[INST] {task_template} [/INST]',
  'vicuna-chat':
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions. USER: {task_template} ASSISTANT:",
  'lwm-chat': 'You are a helpful assistant. USER: {task_template} ASSISTANT: ',
  'command-r-chat':
    '<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>{task_template}<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>',
  'chatglm-chat': '[gMASK]sop<|user|> \n {task_template}<|assistant|> \n ',
  RWKV: 'User: hi\n\nAssistant: Hi. I am your assistant and I will provide expert full response in full details. Please feel free to ask any question and I will always answer it\n\nUser: {task_template}\n\nAssistant:',
  Phi3: '<|user|>\n{task_template}<|end|>\n<|assistant|>\n',
  'meta-llama3':
    '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{task_template}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
  jamba: '<|startoftext|><|bom|><|system|> <|eom|><|bom|><|user|> {task_template}<|eom|><|bom|><|assistant|>',
  'nemotron5-instruct': '<SPECIAL_10>System\n\n<SPECIAL_11>User\n{task_template}\n<SPECIAL_11>Assistant\n',
} as const;

/** The five sentences that fill noise haystacks. */
export const NOISE_LINE = 'The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.';
