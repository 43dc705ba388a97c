import {
  bestFirst,
  definePolicy,
  type LayerView,
  layerProtections,
  type Preset,
  type Protection,
  raiseProtected,
  scoredRun,
} from '@kvsift/policy';
import { snapkv } from '@kvsift/policy-snapkv';
import type { Backend, Selection, Tensor } from '@kvsift/tensor';

/** AdaKV (specification 8): the same total per layer, shared over heads by what their scores claim. */
export const adakv = definePolicy({
  name: 'adakv',
  title: 'AdaKV',
  idea: 'Heads differ in how many entries they need. One top-k over all heads of a layer says how the layer’s budget is shared; a floor keeps every head alive.',
  paper: {
    title: 'Ada-KV: Optimizing KV Cache Eviction by Adaptive Budget Allocation for Efficient LLM Inference',
    authors: 'Feng, Lv, Cao, Xie, Zhou',
    venue: 'NeurIPS 2025',
    url: 'https://arxiv.org/abs/2407.11550',
  },
  parameters: {
    policy: { kind: 'scored', default: () => snapkv(), description: 'What scores the entries.' },
    floor: {
      kind: 'number',
      default: 0.2,
      min: 0,
      max: 1,
      unit: 'share of the even budget',
      description: 'Part that every head gets in any case; 1 is the wrapped policy.',
    },
    form: {
      kind: 'choice',
      choices: ['interpolate', 'truncate', 'safeguard'] as const,
      default: 'interpolate',
      description:
        'interpolate: even and adaptive shares are mixed, sums exact. truncate: the repository’s rounding, which loses entries and reads back. safeguard: kvpress, a hard minimum per head.',
    },
    normalise: {
      kind: 'flag',
      default: false,
      description: 'Weigh heads by how much of their score the best entries hold (KVCache-Factory).',
    },
    skip: { kind: 'integer', default: 0, min: 0, unit: 'layers', description: 'First layers that share evenly.' },
  },
  observes: 'what the wrapped policy observes',
  costs: 'those of the wrapped policy, and one top-k over kvHeads · n scores',
  phases: ['prefill'],
  profiles: {
    reference: { description: 'AdaKV repository.', parameters: { form: 'truncate', floor: 0.2 } },
    factory: { description: 'KVCache-Factory.', parameters: { form: 'truncate', floor: 0.2, normalise: true } },
    kvpress: { description: 'kvpress AdaKVPress.', parameters: { form: 'safeguard', floor: 0.2 } },
  },
  deviations: [
    'Head budgets sum to the layer’s budget exactly; the repository loses up to 1.5 entries per head.',
    'The floor weighs the even part, as in the code; the paper’s α weighs the adaptive part.',
  ],
  create: ({ policy, floor, form, normalise, skip }) => ({
    ragged: true,
    begin(context) {
      const budgets = policy.scoring.allocate(context);
      const protections = layerProtections('adakv', policy.scoring, context);
      return scoredRun(policy.name, policy.scoring.start(context), budgets, async (view, scores) => {
        const protect = protections[view.layer] ?? policy.scoring.protect;
        const share = { view, scores, protect, floor: view.layer < skip ? 1 : floor, normalise };
        if (form === 'safeguard') return safeguarded(share);
        return form === 'truncate' ? truncated(share) : interpolated(share);
      });
    },
  }),
});

/** Ada-SnapKV and Ada-PyramidKV with the repository's SnapKV settings. */
export const adaPresets: readonly Preset[] = [
  { name: 'ada-snapkv', expression: 'adakv(snapkv(window=32, kernelSize=7, pooling=max))', description: 'AdaKV around SnapKV.' },
  {
    name: 'ada-snapkv-paper',
    expression: 'adakv(snapkv(window=32, kernelSize=7, pooling=max, order=rows))',
    description: 'AdaKV around SnapKV whose query rows are pooled before the mean, as the paper has it.',
  },
  {
    name: 'ada-pyramidkv',
    expression: 'adakv(pyramidkv(snapkv(window=32, kernelSize=7, pooling=max)))',
    description: 'AdaKV around PyramidKV: adaptive heads inside falling layers.',
  },
];

interface Share {
  readonly view: LayerView;
  readonly scores: Tensor;
  readonly protect: Protection;
  readonly floor: number;
  readonly normalise: boolean;
}

/** Entries per head besides the protected ones on average (C), and how many of each head the best of all heads are. */
function claims({ view, scores, protect, normalise }: Share): { counts: Tensor; even: number; open: number } {
  const { backend, length, model, budget } = view;
  const reserved = protect.first + protect.last;
  const even = budget.perHead - reserved;
  const open = length - reserved;
  const own = backend.slice(scores, 1, protect.first, length - protect.last);
  const weighted = normalise ? backend.zip(own, concentration(backend, own, even), 'mul') : own;
  return { counts: backend.topShares(weighted, model.kvHeads * even), even, open };
}

/** Part of each head's score that its best `count` entries hold: f32 [kvHeads, 1]. */
function concentration(backend: Backend, scores: Tensor, count: number): Tensor {
  const [heads = 0] = scores.shape;
  const best = backend.zip(backend.zip(bestFirst(backend, scores), count, 'less'), scores, 'mul');
  const part = backend.zip(backend.reduce(best, 1, 'sum'), backend.reduce(scores, 1, 'sum'), 'div');
  return backend.reshape(part, [heads, 1]);
}

function interpolated(share: Share): Selection {
  const { view, floor } = share;
  const { backend, model } = view;
  const { counts, even, open } = claims(share);
  const adaptive = backend.zip(backend.toFloat(counts), 1 - floor, 'mul');
  const targets = backend.zip(adaptive, floor * even, 'add');
  const total = model.kvHeads * even;
  const most = Math.min(open, Math.ceil((1 - floor) * Math.min(total, open) + floor * even) + 1);
  return keepCounts(share, backend.roundShares(targets, total, open), total, most);
}

async function truncated(share: Share): Promise<Selection> {
  const { view, floor } = share;
  const { counts, even, open } = claims(share);
  const claimed = await counts.read();
  const rounded = Int32Array.from(claimed, (count) => roundHalfEven(count * (1 - floor) + Math.trunc(even * floor)));
  const total = rounded.reduce((sum, count) => sum + count, 0);
  return keepCounts(share, view.backend.upload(rounded, 'i32', [rounded.length]), total, Math.min(open, Math.max(...rounded)));
}

function safeguarded({ view, scores, protect, floor }: Share): Selection {
  const { backend, length, model, budget } = view;
  const raised = raiseProtected(view, scores, protect);
  const safe = floor > 0 ? Math.max(1, Math.trunc(budget.perHead * floor)) : 0;
  const secured = backend.zip(backend.zip(bestFirst(backend, raised), safe, 'less'), 1e30, 'mul');
  const total = model.kvHeads * budget.perHead;
  const counts = backend.topShares(backend.zip(raised, secured, 'add'), total);
  return backend.top(raised, { keep: { counts, total, max: Math.min(length, total) } });
}

/** Keeps the best `counts` of each head besides its protected entries. */
function keepCounts({ view, scores, protect }: Share, counts: Tensor, total: number, most: number): Selection {
  const { backend, model } = view;
  const reserved = protect.first + protect.last;
  const perHead = backend.toInt(backend.zip(backend.toFloat(counts), reserved, 'add'));
  return backend.top(scores, {
    keep: { counts: perHead, total: total + model.kvHeads * reserved, max: most + reserved },
    protectFirst: protect.first,
    protectLast: protect.last,
  });
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
