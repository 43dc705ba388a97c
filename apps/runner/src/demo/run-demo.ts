import { factDocument } from '@kvsift/demo-model';
import type { LanguageModel, SessionOptions } from '@kvsift/engine';
import type { EvictionPolicy } from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';

export interface DemoOptions {
  readonly model: LanguageModel;
  /** Policies with the names that the table shows. */
  readonly policies: readonly { readonly name: string; readonly policy: EvictionPolicy }[];
  readonly budgets: readonly string[];
  /** Texts per row of the table. */
  readonly samples: number;
  /** Tokens of each text. */
  readonly tokens: number;
  readonly facts: number;
  readonly seed: number;
  /** Evict before the question is known. */
  readonly agnostic: boolean;
  readonly signal?: AbortSignal;
  /** Answers done, of all. */
  readonly onProgress?: (done: number, total: number, name: string) => void;
}

/** One line of the table. */
export interface DemoRow {
  readonly policy: string;
  readonly budget: string;
  readonly right: number;
  readonly samples: number;
  /** Bytes that the cache held after the prompt, mean over the texts. */
  readonly cacheBytes: number;
  /** Means over the texts. */
  readonly prefillSeconds: number;
  readonly decodeTokensPerSecond: number;
}

/** How many KV heads of each layer kept each token of the first text. */
export interface DemoRetention {
  readonly policy: string;
  readonly budget: string;
  /** [layer][token] */
  readonly heads: readonly (readonly number[])[];
}

export interface DemoResult {
  readonly rows: readonly DemoRow[];
  readonly retention: readonly DemoRetention[];
  /** Token texts of the first prompt, in order. */
  readonly tokenTexts: readonly string[];
  readonly kvHeads: number;
  readonly example: { readonly question: string; readonly answer: string };
}

interface Sample {
  readonly context: Int32Array;
  readonly question: Int32Array;
  readonly answer: string;
  readonly questionText: string;
}

const digits = 5;

/** Hides facts in texts and asks for them with the full cache and with each policy at each budget. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { model, policies, budgets, onProgress } = options;
  const samples = Array.from({ length: options.samples }, (_, index) => makeSample(options, index));
  const cases = [
    { name: 'full', budget: '100%', session: {} },
    ...budgets.flatMap((budget) =>
      policies.map(({ name, policy }) => ({ name, budget, session: { policy, budget, seed: options.seed } })),
    ),
  ];
  const total = cases.length * samples.length;
  const rows: DemoRow[] = [];
  // The first run pays for memory and caches that later ones find: it does not count.
  await ask(model, samples[0], {}, options);
  for (const [index, { name, budget, session }] of cases.entries()) {
    const answers: Answer[] = [];
    for (const [at, sample] of samples.entries()) {
      onProgress?.(index * samples.length + at, total, `${name} ${budget}`);
      answers.push(await ask(model, sample, session, options));
    }
    rows.push(summarise(name, budget, answers));
  }
  onProgress?.(total, total, 'done');
  const [first] = samples;
  const ids = first === undefined ? [] : [...first.context, ...first.question];
  const retention: DemoRetention[] = [];
  for (const { name, budget, session } of cases.slice(1)) {
    retention.push({ policy: name, budget, heads: await retained(model, first, session, options) });
  }
  return {
    rows,
    retention,
    tokenTexts: ids.map((id) => model.tokenizer.decode([id], { continues: true })),
    kvHeads: model.decoder.config.kvHeads,
    example: { question: first?.questionText.trim() ?? '', answer: first?.answer ?? '' },
  };
}

function makeSample({ model, tokens, facts, seed }: DemoOptions, index: number): Sample {
  const { tokenizer } = model;
  const countTokens = (text: string) => tokenizer.encode(text).length;
  const { context, question, answer } = factDocument({ tokens, facts, digits, seed: seed * 1000 + index, countTokens });
  return {
    context: tokenizer.encode(context),
    question: tokenizer.encode(question, { addSpecial: false }),
    answer,
    questionText: question,
  };
}

interface Answer {
  readonly right: boolean;
  readonly cacheBytes: number;
  readonly prefillSeconds: number;
  readonly decodeTokensPerSecond: number;
}

async function ask(
  model: LanguageModel,
  sample: Sample | undefined,
  session: SessionOptions,
  options: DemoOptions,
): Promise<Answer> {
  if (sample === undefined) throw new KvsiftError('invalid_argument', 'the demo needs at least one sample');
  using opened = model.session(session);
  const signal = options.signal && { signal: options.signal };
  const started = performance.now();
  const { context, question } = sample;
  await opened.prefill(options.agnostic ? context : Int32Array.from([...context, ...question]), { ...signal });
  const read = performance.now();
  const { bytes } = opened.statistics();
  if (options.agnostic) await opened.prefill(question, { ...signal });
  let text = '';
  let count = 0;
  let first = 0;
  for await (const chunk of opened.generate({ maxTokens: digits + 1, ...signal })) {
    if (count++ === 0) first = performance.now();
    text += chunk.text;
  }
  return {
    right: text.replace(/\D/g, '') === sample.answer,
    cacheBytes: bytes,
    prefillSeconds: (read - started) / 1000,
    decodeTokensPerSecond: ((count - 1) * 1000) / (performance.now() - first),
  };
}

function summarise(policy: string, budget: string, answers: readonly Answer[]): DemoRow {
  const mean = (pick: (answer: Answer) => number) => answers.reduce((sum, answer) => sum + pick(answer), 0) / answers.length;
  return {
    policy,
    budget,
    right: answers.filter(({ right }) => right).length,
    samples: answers.length,
    cacheBytes: mean(({ cacheBytes }) => cacheBytes),
    prefillSeconds: mean(({ prefillSeconds }) => prefillSeconds),
    decodeTokensPerSecond: mean(({ decodeTokensPerSecond }) => decodeTokensPerSecond),
  };
}

async function retained(
  model: LanguageModel,
  sample: Sample | undefined,
  session: SessionOptions,
  options: DemoOptions,
): Promise<number[][]> {
  if (sample === undefined) return [];
  const length = sample.context.length + (options.agnostic ? 0 : sample.question.length);
  using opened = model.session({ ...session, trackPositions: true });
  await opened.prefill(options.agnostic ? sample.context : Int32Array.from([...sample.context, ...sample.question]));
  const layers = model.decoder.layers.map((_, layer) => layer);
  return Promise.all(
    layers.map(async (layer) => {
      const counts = new Array<number>(length).fill(0);
      for (const head of await opened.retained(layer))
        for (const position of head) counts[position] = (counts[position] ?? 0) + 1;
      return counts;
    }),
  );
}
