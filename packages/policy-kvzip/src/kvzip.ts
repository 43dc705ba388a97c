import { definePolicy, fitProtection, type PolicyRun, type Reread, resolveBudgets, type SequenceContext } from '@kvsift/policy';
import { evictLowest } from './eviction.js';
import { type Part, reconstructionScores } from './reconstruction.js';

interface Options {
  readonly chunk: number;
  readonly sinks: number;
  readonly prefix: number;
  readonly suffix: string;
  readonly keepPrefix: boolean;
  readonly layerwise: boolean;
  readonly plus: boolean;
}

/** Tokens of the previous part that open the prompt of the next. */
const overlap = 8;
const askWhole = '\n\nRepeat the previous context exactly.';
const askPart = '\n\nRepeat the part of the previous context exactly, starting with';

/** KVzip (specification 25). */
export const kvzip = definePolicy({
  name: 'kvzip',
  title: 'KVzip',
  idea: 'Ask the model to repeat the context and keep what that repetition attends to. The result serves any question, because no question was read.',
  paper: {
    title: 'KVzip: Query-Agnostic KV Cache Compression with Context Reconstruction',
    authors: 'Kim, Kim, Kwon, Lee, Yun, Song',
    venue: 'NeurIPS 2025',
    url: 'https://arxiv.org/abs/2505.23416',
  },
  parameters: {
    chunk: {
      kind: 'integer',
      default: 2048,
      min: 1,
      unit: 'tokens',
      description: 'The context is repeated in parts of this length.',
    },
    sinks: { kind: 'integer', default: 4, min: 0, unit: 'tokens', description: 'First tokens: in every softmax, always kept.' },
    prefix: {
      kind: 'integer',
      default: 0,
      min: 0,
      unit: 'tokens',
      description: 'Template tokens before the context, which are not repeated.',
    },
    suffix: {
      kind: 'text',
      default: '\n',
      description: 'Text between the request to repeat and the repetition: the end of the chat template’s user turn.',
    },
    keepPrefix: {
      kind: 'flag',
      default: true,
      description: 'Keep the whole prefix; kvpress gives what lies behind the sinks score 0 and evicts it first.',
    },
    layerwise: {
      kind: 'flag',
      default: false,
      description: 'Every layer evicts the same number of entries, instead of all layers competing.',
    },
    plus: {
      kind: 'flag',
      default: false,
      description: 'KVzip+: weigh by the size of the value’s output and of the query’s input.',
    },
  },
  budget: 'own',
  observes: 'a second reading of the prompt: its rotated queries (and inputs for KVzip+)',
  costs: 'about twice the prefill',
  phases: ['prefill'],
  profiles: { kvpress: { description: 'kvpress KVzipPress.', parameters: { keepPrefix: false } } },
  deviations: [
    'The budget counts all layers together (or each layer, with layerwise); heads and layers hold what their scores claim.',
    'The whole prefix is kept by default, as in the original code.',
  ],
  create: (options) => ({ ragged: true, traits: ['reread'] as const, begin: (context) => new KvzipRun(context, options) }),
});

/** A KVzip run; its scores can be looked at once the second reading is done. */
export class KvzipRun implements PolicyRun {
  readonly observe = {};
  readonly budgets;
  /** Scores of each layer, [kvHeads · promptLength]. */
  readonly scores: Float32Array[] = [];
  #parts: readonly Part[] = [];
  /** First entries of each layer's heads that stay whatever their score. */
  readonly #kept: readonly number[];

  constructor(
    private readonly context: SequenceContext,
    private readonly options: Options,
  ) {
    this.budgets = resolveBudgets(context);
    const { sinks, prefix, keepPrefix } = options;
    const protect = { first: Math.max(sinks, keepPrefix ? prefix : 0), last: 0 };
    this.#kept = this.budgets.map(({ perHead }) => fitProtection('kvzip', protect, perHead, context).first);
  }

  get reread(): Reread {
    const { plus } = this.options;
    return {
      observe: { queries: 'all', ...(plus && { hidden: 'all', outputProjection: true }) },
      passes: (prompt, encode) => this.passes(prompt, encode),
      look: (pass, view) => this.look(pass, view),
      decide: (backend) => this.decide(backend),
    };
  }

  select(): 'all' {
    return 'all';
  }

  /** As `Reread.passes`: a passage of `chunk` tokens each, asked to be repeated. */
  passes(prompt: Int32Array, encode: (text: string) => Int32Array): Int32Array[] {
    const { chunk, prefix, suffix } = this.options;
    const starts = Array.from({ length: Math.ceil((prompt.length - prefix) / chunk) }, (_, index) => prefix + index * chunk);
    this.#parts = starts.map((start) => ({
      start,
      end: Math.min(prompt.length, start + chunk),
      sinks: Math.min(this.options.sinks, start),
    }));
    const tail = suffix === '' ? new Int32Array() : encode(suffix);
    return this.#parts.map(({ start, end }, index) => {
      const before = prompt.subarray(Math.max(prefix, start - overlap), start);
      const request = index === 0 ? encode(askWhole) : [...encode(askPart), ...before];
      return Int32Array.from([...request, ...tail, ...prompt.subarray(start, end)]);
    });
  }

  /** As `Reread.look`: raises the scores of the passage by the attention that its repetition pays it. */
  async look(...[pass, view]: Parameters<Reread['look']>): Promise<void> {
    const part = this.#parts[pass];
    if (part === undefined) return;
    const { kvHeads } = view.model;
    const { promptLength } = this.context;
    const numbers = await reconstructionScores(view, part, this.options.plus).read();
    const own = this.scores[view.layer] ?? new Float32Array(kvHeads * promptLength);
    this.scores[view.layer] = own;
    const size = part.end - part.start;
    for (let head = 0; head < kvHeads; head++) {
      for (let slot = 0; slot < size; slot++) own[head * promptLength + part.start + slot] = numbers[head * size + slot] ?? 0;
    }
  }

  /** As `Reread.decide`: evicts the lowest scores of all layers together, or of each. */
  decide(...[backend]: Parameters<Reread['decide']>) {
    const { model, promptLength, budget, counting } = this.context;
    const { layerwise } = this.options;
    const entries = model.kvHeads * promptLength;
    // A prompt that is all prefix is not repeated and has no scores.
    const scores = Array.from({ length: model.layers }, (_, layer) => this.scores[layer] ?? new Float32Array(entries));
    const most = scores.reduce((top, own) => own.reduce((best, score) => Math.max(best, score), top), 0);
    const raised = scores.map((own, layer) =>
      own.map((score, index) => (index % promptLength < (this.#kept[layer] ?? 0) ? most + 1 : score)),
    );
    const removed = budget.kind === 'share' ? (budget.denominator - budget.numerator) / budget.denominator : 0;
    const byRatio = counting === 'kvpress' && budget.kind === 'share';
    const perLayer = byRatio ? Math.trunc(entries * removed) : entries - Math.min(entries, this.budgets[0]?.total ?? entries);
    const whole = this.budgets.reduce((sum, { total }) => sum + Math.min(total, entries), 0);
    const total = byRatio ? Math.trunc(entries * model.layers * removed) : entries * model.layers - whole;
    return evictLowest(backend, raised, model.kvHeads, { total, ...(layerwise && { perLayer }) });
  }

  /** Lets go of the scores. */
  dispose(): void {
    this.scores.length = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
