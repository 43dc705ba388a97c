import {
  beforeWindow,
  columnOptions,
  definePolicy,
  filled,
  fitProtection,
  keepBest,
  type LayerView,
  lastRows,
  observed,
  type PolicyRun,
  type Preset,
  reduceGroups,
  resolveBudgets,
  type SequenceContext,
  windowAttention,
} from '@kvsift/policy';
import type { Tensor } from '@kvsift/tensor';

/** Finch (specification 26): the question stands at the end of the prompt, which is read at once or part by part. */
export const finch = definePolicy({
  name: 'finch',
  title: 'Finch',
  idea: 'The question at the end of the prompt decides: keep the context entries it attends to, with rows weighted by how many keys they see.',
  paper: {
    title: 'FINCH: Prompt-guided Key-Value Cache Compression',
    authors: 'Corallo, Papotti',
    venue: 'TACL 2024',
    url: 'https://arxiv.org/abs/2408.00167',
  },
  parameters: {
    question: {
      kind: 'integer',
      default: 32,
      min: 1,
      unit: 'tokens',
      description: 'Length of the question at the end of the prompt; always kept.',
    },
    normalise: { kind: 'flag', default: true, description: 'Weigh each row by the number of keys before it.' },
    heads: {
      kind: 'choice',
      choices: ['own', 'shared'] as const,
      default: 'own',
      description: 'shared: all heads of a layer keep the same tokens, by the sum of their attention.',
    },
    segment: {
      kind: 'integer',
      default: 0,
      min: 0,
      unit: 'tokens',
      description:
        'Read the context in parts of so many tokens, each with the question behind it and evicted before the next is read; 0: all at once. With rerotate, as published.',
    },
    quota: {
      kind: 'choice',
      choices: ['exact', 'whole'] as const,
      default: 'exact',
      description:
        'What a part leaves: exact meets the budget; whole is ⌊part / ⌈context / budget⌉⌋, as in the original, which keeps less.',
    },
  },
  observes: 'rotated queries of the question',
  costs: '2 · queryHeads · question · n · headDim FLOPs; O(queryHeads · question · n) memory where normalised',
  phases: ['prefill'],
  profiles: {
    kvpress: { description: 'kvpress FinchPress; add its re-rotation with rerotate(finch).', parameters: { normalise: true } },
    reference: {
      description: 'context-compression repository; add its re-rotation with rerotate(finch(profile=reference)).',
      parameters: { normalise: false, heads: 'shared', segment: 1024, quota: 'whole' },
    },
  },
  deviations: [
    'By default one pass over the whole prompt with one set per head, as kvpress; the original reads segments and shares one set over all heads: profile=reference, inside rerotate.',
    'The question is given by its length, not by a delimiter token.',
    'Segments have a size of their own; the original’s automatic size depends on the length of the answer.',
  ],
  create: (options) =>
    options.segment === 0
      ? keepBest('finch', {
          protect: { first: 0, last: options.question },
          allocate: resolveBudgets,
          start: () => ({ observe: { queries: { last: options.question } }, score: (view) => questionScores(view, options) }),
        })
      : { ragged: false, traits: ['segments'] as const, begin: (context) => inSegments(context, options) },
});

interface Options {
  readonly question: number;
  readonly normalise: boolean;
  readonly heads: 'own' | 'shared';
  readonly segment: number;
  readonly quota: 'exact' | 'whole';
}

/** Each part's survivors are added to those of the parts before; the question is read again at the end, into the room that the budget leaves for it. */
function inSegments(context: SequenceContext, options: Options): PolicyRun {
  const budgets = resolveBudgets(context);
  const least = Math.min(...budgets.map(({ perHead }) => perHead));
  const question = fitProtection('finch', { first: 0, last: options.question }, least, context).last;
  const length = context.promptLength - question;
  const own = { ...options, question };
  return {
    observe: { queries: { last: question } },
    budgets,
    ...(least < context.promptLength && { segments: { length: options.segment, question } }),
    select(view) {
      const { backend, budget, seen } = view;
      const past = view.length - question;
      const keep = Math.min(past, keptOf(seen - question, length, budget.perHead - question, own));
      return backend.top(backend.slice(questionScores(view, own), 1, 0, past), { keep });
    },
    dispose() {},
    [Symbol.dispose]() {},
  };
}

/** Entries that the first `read` tokens of a context leave, of `room` for all of it. */
export function keptOf(
  read: number,
  context: number,
  room: number,
  { segment, quota }: Pick<Options, 'segment' | 'quota'>,
): number {
  if (room >= context) return read;
  if (quota === 'exact') return Math.floor((read * room) / context);
  if (room <= 0) return 0;
  const factor = Math.ceil(context / room);
  return Math.floor(read / segment) * Math.floor(segment / factor) + Math.floor((read % segment) / factor);
}

/** Finch as kvpress runs it: survivors get consecutive positions. */
export const finchPresets: readonly Preset[] = [
  { name: 'finch-rerotated', expression: 'rerotate(finch)', description: 'Finch with consecutive positions for the survivors.' },
  {
    name: 'finch-segmented',
    expression: 'rerotate(finch(profile="reference"))',
    description: 'Finch as published: the context in segments, one set for all heads, consecutive positions.',
  },
];

/** What the question's rows pay to the entries before it, f32 [kvHeads, length]; the question's own are 0. */
function questionScores(view: LayerView, { question, normalise, heads }: Options): Tensor {
  const { backend, length, model } = view;
  const past = length - question;
  if (past <= 0) return filled(backend, [model.kvHeads, length], 0);
  const paid = normalise ? weightedRows(view, question) : meanRows(view, question);
  const scores = reduceGroups(backend, paid, model.kvHeads);
  if (heads === 'own') return beforeWindow(backend, scores, question);
  const all = backend.reshape(backend.reduce(scores, 0, 'mean'), [1, past]);
  return beforeWindow(backend, backend.zip(filled(backend, [model.kvHeads, 1], 0), all, 'add'), question);
}

function meanRows(view: LayerView, question: number): Tensor {
  const { backend, length } = view;
  return backend.zip(backend.slice(windowAttention(view, question), 1, 0, length - question), question, 'div');
}

/** Each row counts as many times as there are keys before it. */
function weightedRows(view: LayerView, question: number): Tensor {
  const { backend, length } = view;
  const past = length - question;
  const rows = lastRows(backend, observed(view, 'queries'), question);
  const seen = backend.slice(backend.attentionRows(rows, view.cache, columnOptions(view, question)), 2, 0, past);
  const keysBefore = Float32Array.from({ length: question }, (_, row) => past + row);
  const weighted = backend.zip(seen, backend.upload(keysBefore, 'f32', [1, question, 1]), 'mul');
  return backend.reduce(weighted, 1, 'mean');
}
