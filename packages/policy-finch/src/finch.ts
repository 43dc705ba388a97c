import {
  beforeWindow,
  columnOptions,
  definePolicy,
  filled,
  keepBest,
  type LayerView,
  lastRows,
  observed,
  type Preset,
  reduceGroups,
  resolveBudgets,
  windowAttention,
} from '@kvsift/policy';
import type { Tensor } from '@kvsift/tensor';

/** Finch (specification 26) in one pass: the question stands at the end of the prompt. */
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
  },
  observes: 'rotated queries of the question',
  costs: '2 · queryHeads · question · n · headDim FLOPs; O(queryHeads · question · n) memory where normalised',
  phases: ['prefill'],
  profiles: {
    kvpress: { description: 'kvpress FinchPress; add its re-rotation with rerotate(finch).', parameters: { normalise: true } },
  },
  deviations: [
    'One pass over the whole prompt with one set per head; the original reads segments and shares one set over all heads.',
    'The question is given by its length, not by a delimiter token.',
  ],
  create: ({ question, normalise }) =>
    keepBest('finch', {
      protect: { first: 0, last: question },
      allocate: resolveBudgets,
      start: () => ({ observe: { queries: { last: question } }, score: (view) => questionScores(view, question, normalise) }),
    }),
});

/** Finch as kvpress runs it: survivors get consecutive positions. */
export const finchPresets: readonly Preset[] = [
  { name: 'finch-rerotated', expression: 'rerotate(finch)', description: 'Finch with consecutive positions for the survivors.' },
];

function questionScores(view: LayerView, question: number, normalise: boolean): Tensor {
  const { backend, length, model } = view;
  const past = length - question;
  if (past <= 0) return filled(backend, [model.kvHeads, length], 0);
  if (!normalise) {
    const sums = backend.slice(windowAttention(view, question), 1, 0, past);
    return beforeWindow(backend, reduceGroups(backend, backend.zip(sums, question, 'div'), model.kvHeads), question);
  }
  const rows = lastRows(backend, observed(view, 'queries'), question);
  const seen = backend.slice(backend.attentionRows(rows, view.cache, columnOptions(view, question)), 2, 0, past);
  const keysBefore = Float32Array.from({ length: question }, (_, row) => past + row);
  const weighted = backend.zip(seen, backend.upload(keysBefore, 'f32', [1, question, 1]), 'mul');
  return beforeWindow(backend, reduceGroups(backend, backend.reduce(weighted, 1, 'mean'), model.kvHeads), question);
}
