/** How the predictions of a task are compared with the answers; see `metrics.ts`. */
export type LongBenchMetric = 'f1' | 'f1-zh' | 'rouge' | 'rouge-zh' | 'class' | 'count' | 'retrieval' | 'retrieval-zh' | 'code';

/** Prompt, limits and metric of one task. */
export interface TaskFacts {
  readonly metric: LongBenchMetric;
  /** Group of the paper's averages; the code group is shared by English and Chinese. */
  readonly category: 'single' | 'multi' | 'summary' | 'fewshot' | 'synthetic' | 'code';
  /** Rows of the published file. */
  readonly rows: number;
  readonly maxNewTokens: number;
  /** The three pieces of the prompt; joined they are the reference's template, typos included. */
  readonly template: readonly [context: string, question: string, answerPrefix: string];
}

/** Source: THUDM/LongBench 2e00731 (MIT); the cut into pieces follows NVIDIA/kvpress 8bb29b9 (Apache-2.0). */
export const TASK_FACTS = {
  narrativeqa: {
    metric: 'f1',
    category: 'single',
    rows: 200,
    maxNewTokens: 128,
    template: [
      'You are given a story, which can be either a novel or a movie script, and a question. Answer the question asconcisely as you can, using a single phrase if possible. Do not provide any explanation.\n\nStory: {context}\n\nNow, answer the question based on the story asconcisely as you can, using a single phrase if possible. Do not provide any explanation.\n\n',
      'Question: {input}\n\n',
      'Answer:',
    ],
  },
  qasper: {
    metric: 'f1',
    category: 'single',
    rows: 200,
    maxNewTokens: 128,
    template: [
      'You are given a scientific article and a question. Answer the question as concisely as you can, using a single phrase or sentence if possible. If the question cannot be answered based on the information in the article, write "unanswerable". If the question is a yes/no question, answer "yes", "no", or "unanswerable". Do not provide any explanation.\n\nArticle: {context}\n\n Answer the question based on the above article as concisely as you can, using a single phrase or sentence if possible. If the question cannot be answered based on the information in the article, write "unanswerable". If the question is a yes/no question, answer "yes", "no", or "unanswerable". Do not provide any explanation.\n\n',
      'Question: {input}\n\n',
      'Answer:',
    ],
  },
  multifieldqa_en: {
    metric: 'f1',
    category: 'single',
    rows: 150,
    maxNewTokens: 64,
    template: [
      'Read the following text and answer briefly.\n\n{context}\n\nNow, answer the following question based on the above text, only give me the answer and do not output any other words.\n\n',
      'Question: {input}\n',
      'Answer:',
    ],
  },
  multifieldqa_zh: {
    metric: 'f1-zh',
    category: 'single',
    rows: 200,
    maxNewTokens: 64,
    template: [
      '阅读以下文字并用中文简短回答：\n\n{context}\n\n现在请基于上面的文章回答下面的问题，只告诉我答案，不要输出任何其他字词。\n\n',
      '问题：{input}\n',
      '回答：',
    ],
  },
  hotpotqa: {
    metric: 'f1',
    category: 'multi',
    rows: 200,
    maxNewTokens: 32,
    template: [
      'Answer the question based on the given passages. Only give me the answer and do not output any other words.\n\nThe following are given passages.\n{context}\n\nAnswer the question based on the given passages. Only give me the answer and do not output any other words.\n\n',
      'Question: {input}\n',
      'Answer:',
    ],
  },
  '2wikimqa': {
    metric: 'f1',
    category: 'multi',
    rows: 200,
    maxNewTokens: 32,
    template: [
      'Answer the question based on the given passages. Only give me the answer and do not output any other words.\n\nThe following are given passages.\n{context}\n\nAnswer the question based on the given passages. Only give me the answer and do not output any other words.\n\n',
      'Question: {input}\n',
      'Answer:',
    ],
  },
  musique: {
    metric: 'f1',
    category: 'multi',
    rows: 200,
    maxNewTokens: 32,
    template: [
      'Answer the question based on the given passages. Only give me the answer and do not output any other words.\n\nThe following are given passages.\n{context}\n\nAnswer the question based on the given passages. Only give me the answer and do not output any other words.\n\n',
      'Question: {input}\n',
      'Answer:',
    ],
  },
  dureader: {
    metric: 'rouge-zh',
    category: 'multi',
    rows: 200,
    maxNewTokens: 128,
    template: [
      '请基于给定的文章回答下述问题。\n\n文章：{context}\n\n请基于上述文章回答下面的问题。\n\n',
      '问题：{input}\n',
      '回答：',
    ],
  },
  gov_report: {
    metric: 'rouge',
    category: 'summary',
    rows: 200,
    maxNewTokens: 512,
    template: [
      'You are given a report by a government agency. Write a one-page summary of the report.\n\nReport:\n{context}\n\n',
      'Now, write a one-page summary of the report.\n\n',
      'Summary:',
    ],
  },
  qmsum: {
    metric: 'rouge',
    category: 'summary',
    rows: 200,
    maxNewTokens: 512,
    template: [
      'You are given a meeting transcript and a query containing a question or instruction. Answer the query in one or more sentences.\n\nTranscript:\n{context}\n\nNow, answer the query based on the above meeting transcript in one or more sentences.\n\n',
      'Query: {input}\n',
      'Answer:',
    ],
  },
  multi_news: {
    metric: 'rouge',
    category: 'summary',
    rows: 200,
    maxNewTokens: 512,
    template: [
      'You are given several news passages. Write a one-page summary of all news. \n\nNews:\n{context}\n\n',
      'Now, write a one-page summary of all the news.\n\n',
      'Summary:',
    ],
  },
  vcsum: {
    metric: 'rouge-zh',
    category: 'summary',
    rows: 200,
    maxNewTokens: 512,
    template: ['下面有一段会议记录，请你阅读后，写一段总结，总结会议的内容。\n会议记录：\n{context}\n\n', '', '会议总结：'],
  },
  trec: {
    metric: 'class',
    category: 'fewshot',
    rows: 200,
    maxNewTokens: 64,
    template: [
      'Please determine the type of the question below. Here are some examples of questions.\n\n{context}\n',
      '{input}',
      '',
    ],
  },
  triviaqa: {
    metric: 'f1',
    category: 'fewshot',
    rows: 200,
    maxNewTokens: 32,
    template: [
      'Answer the question based on the given passage. Only give me the answer and do not output any other words. The following are some examples.\n\n{context}\n\n',
      '{input}',
      '',
    ],
  },
  samsum: {
    metric: 'rouge',
    category: 'fewshot',
    rows: 200,
    maxNewTokens: 128,
    template: [
      'Summarize the dialogue into a few short sentences. The following are some examples.\n\n{context}\n\n',
      '{input}',
      '',
    ],
  },
  lsht: {
    metric: 'class',
    category: 'fewshot',
    rows: 200,
    maxNewTokens: 64,
    template: ['请判断给定新闻的类别，下面是一些例子。\n\n{context}\n', '{input}', ''],
  },
  passage_count: {
    metric: 'count',
    category: 'synthetic',
    rows: 200,
    maxNewTokens: 32,
    template: [
      'There are some paragraphs below sourced from Wikipedia. Some of them may be duplicates. Please carefully read these paragraphs and determine how many unique paragraphs there are after removing duplicates. In other words, how many non-repeating paragraphs are there in total?\n\n{context}\n\n',
      'Please enter the final count of unique paragraphs after removing duplicates. The output format should only contain the number, such as 1, 2, 3, and so on.\n\n',
      'The final answer is: ',
    ],
  },
  passage_retrieval_en: {
    metric: 'retrieval',
    category: 'synthetic',
    rows: 200,
    maxNewTokens: 32,
    template: [
      'Here are 30 paragraphs from Wikipedia, along with an abstract. Please determine which paragraph the abstract is from.\n\n{context}\n\nThe following is an abstract.\n\n',
      '{input}\n\nPlease enter the number of the paragraph that the abstract is from. The answer format must be like "Paragraph 1", "Paragraph 2", etc.\n\n',
      'The answer is: ',
    ],
  },
  passage_retrieval_zh: {
    metric: 'retrieval-zh',
    category: 'synthetic',
    rows: 200,
    maxNewTokens: 32,
    template: [
      '以下是若干段落文字，以及其中一个段落的摘要。请确定给定的摘要出自哪一段。\n\n{context}\n\n下面是一个摘要\n\n',
      '{input}\n\n请输入摘要所属段落的编号。答案格式必须是"段落1"，"段落2"等格式\n\n',
      '答案是：',
    ],
  },
  lcc: {
    metric: 'code',
    category: 'code',
    rows: 500,
    maxNewTokens: 64,
    template: ['Please complete the code given below. \n{context}', '', 'Next line of code:\n'],
  },
  'repobench-p': {
    metric: 'code',
    category: 'code',
    rows: 500,
    maxNewTokens: 64,
    template: ['Please complete the code given below. \n{context}', '{input}', 'Next line of code:\n'],
  },
} as const satisfies Readonly<Record<string, TaskFacts>>;

/** A task of LongBench; its data file is `NAME.jsonl`, in LongBench-E `NAME_e.jsonl`. */
export type LongBenchTask = keyof typeof TASK_FACTS;

/** The 21 tasks. */
export const LONGBENCH_TASKS = Object.keys(TASK_FACTS) as readonly LongBenchTask[];

/** The 13 tasks of LongBench-E. */
export const LONGBENCH_E_TASKS: readonly LongBenchTask[] = [
  'qasper',
  'multifieldqa_en',
  'hotpotqa',
  '2wikimqa',
  'gov_report',
  'multi_news',
  'trec',
  'triviaqa',
  'samsum',
  'passage_count',
  'passage_retrieval_en',
  'lcc',
  'repobench-p',
];

/** Tasks whose prompts are never wrapped in a chat template. */
export const PLAIN_TASKS: ReadonlySet<LongBenchTask> = new Set(['trec', 'triviaqa', 'samsum', 'lsht', 'lcc', 'repobench-p']);

/** Few-shot tasks: only the first line of a prediction counts. */
export const FIRST_LINE_TASKS: ReadonlySet<LongBenchTask> = new Set(['trec', 'triviaqa', 'samsum', 'lsht']);
