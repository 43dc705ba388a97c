import {
  bestFirst,
  definePolicy,
  gumbelNoise,
  keepBest,
  type LayerView,
  type Protection,
  raiseProtected,
  reduceGroups,
  resolveBudgets,
  uniformLayer,
  windowAttention,
} from '@kvsift/policy';
import { KvsiftError, type Tensor, uniformAt } from '@kvsift/tensor';
import { drawWeights, drawWithoutReplacement } from './draw.js';

/** Purpose word of this policy's stream of random numbers. */
const purpose = 9;

/** NACL (specification 9). */
export const nacl = definePolicy({
  name: 'nacl',
  title: 'NACL',
  idea: 'One shot after the prompt: keep sinks, recent tokens, the favourites of a few proxy queries at its end, and a random sample of the rest, so that no bias of attention decides alone.',
  paper: {
    title: 'NACL: A General and Effective KV Cache Eviction Framework for LLMs at Inference Time',
    authors: 'Chen, Wang, Shang, Cui, Zhang, Liu, Wang, Sun, Yu, Wu',
    venue: 'ACL 2024',
    url: 'https://arxiv.org/abs/2408.03675',
  },
  parameters: {
    proxies: {
      kind: 'number',
      default: 0.01,
      min: 0,
      max: 1,
      unit: 'share of the prompt',
      description: 'Last queries that score the entries; at least one.',
    },
    sinks: { kind: 'integer', default: 4, min: 0, unit: 'tokens', description: 'First tokens that are always kept.' },
    recent: { kind: 'integer', default: 16, min: 0, unit: 'tokens', description: 'Last tokens that are always kept.' },
    random: {
      kind: 'number',
      default: 0.37,
      min: 0,
      max: 1,
      unit: 'share of the unprotected budget',
      description: 'Part that is drawn at random; 0 is a plain top-k, 1 weighted sampling.',
    },
    temperature: {
      kind: 'number',
      default: 1,
      min: 0,
      description: 'Of the softmax over scores that weighs the draw; 0 draws evenly.',
    },
    protectProxies: { kind: 'flag', default: false, description: 'Always keep the proxy tokens too (KVCache-Factory).' },
    reduction: {
      kind: 'choice',
      choices: ['sum', 'mean'] as const,
      default: 'sum',
      description: 'Over the proxies; the mean flattens the draw.',
    },
    sampler: {
      kind: 'choice',
      choices: ['gumbel', 'rounds'] as const,
      default: 'gumbel',
      description: 'Two ways to the same law: on the device, or NumPy’s rounds on the host.',
    },
    minLength: {
      kind: 'integer',
      default: 0,
      min: 0,
      unit: 'tokens',
      description: 'Prompts of so many tokens or fewer stay whole (2,048 in the release).',
    },
    ratios: {
      kind: 'numbers',
      default: [],
      min: 0,
      max: 1,
      unit: 'shares of the prompt',
      description: '[protect, proxy, random]: the release’s three shares, which replace budget, recent and random.',
    },
  },
  seeded: true,
  observes: 'rotated queries of the proxies',
  costs: '4 · queryHeads · proxies · n · headDim FLOPs, O(queryHeads · n) memory',
  phases: ['prefill'],
  profiles: {
    paper: { description: 'Mean over the proxies, as the formulas have it.', parameters: { reduction: 'mean' } },
    reference: {
      description: 'PaddlePaddle release.',
      parameters: { sinks: 256, ratios: [0.01, 0.12, 0.07], sampler: 'rounds', minLength: 2048 },
    },
    factory: { description: 'KVCache-Factory selector.', parameters: { protectProxies: true } },
  },
  deviations: [
    'Group means per KV head; the release mixes up query and KV heads where keys are not repeated.',
    'Where the release’s share for recent tokens is smaller than its sinks, sinks shrink to half of it; there it breaks below 25,700 tokens.',
    'Random numbers come from a counter-based stream per layer and head; the release draws from an unseeded one.',
  ],
  create: (options) => {
    const { ratios, sinks, recent, protectProxies } = options;
    if (ratios.length !== 0 && ratios.length !== 3) {
      throw new KvsiftError('policy_invalid', 'nacl: ratios must be three shares [protect, proxy, random]');
    }
    const proxyCount = (length: number) => Math.max(1, Math.trunc(options.proxies * length));
    return keepBest('nacl', {
      protect: ratios.length > 0 ? { first: 0, last: 0 } : { first: sinks, last: recent },
      allocate(context) {
        const { model, promptLength } = context;
        const budgets = resolveBudgets(context);
        if (promptLength <= options.minLength) return budgets.map(() => uniformLayer(promptLength, model));
        return ratios.length === 0 ? budgets : budgets.map(() => uniformLayer(ratioCounts(promptLength, options).total, model));
      },
      start: ({ promptLength }) => ({
        observe: { queries: { last: proxyCount(promptLength) } },
        async score(view) {
          const proxies = proxyCount(view.length);
          const counts = ratios.length === 0 ? budgetCounts(view, options) : ratioCounts(view.length, options);
          const last = protectProxies ? Math.max(counts.protect.last, proxies) : counts.protect.last;
          const scores = proxyScores(view, proxies, options.reduction);
          const raised = raiseProtected(view, scores, { ...counts.protect, last });
          const fixed = counts.protect.first + last + counts.top;
          const draw =
            options.sampler === 'gumbel'
              ? gumbelKeys(view, scores, options.temperature)
              : await drawnFirst(view, raised, fixed, counts.random, options.temperature);
          const chosen = view.backend.zip(view.backend.zip(bestFirst(view.backend, raised), fixed, 'less'), 1e30, 'mul');
          return view.backend.zip(draw, chosen, 'add');
        },
      }),
    });
  },
});

interface Counts {
  readonly protect: Protection;
  readonly top: number;
  readonly random: number;
  readonly total: number;
}

/** How the unprotected part of a budget splits. */
function budgetCounts(
  { budget, length }: LayerView,
  { sinks, recent, random }: { sinks: number; recent: number; random: number },
): Counts {
  const protect = { first: Math.min(sinks, Math.max(0, budget.perHead - recent)), last: Math.min(recent, budget.perHead) };
  const free = Math.max(0, Math.min(budget.perHead, length) - protect.first - protect.last);
  const drawn = Math.round(free * random);
  return { protect, top: free - drawn, random: drawn, total: budget.perHead };
}

/** The release's counts: sinks and recent tokens share the protected part; the others are clipped to what lies between. */
export function ratioCounts(length: number, { sinks, ratios }: { sinks: number; ratios: readonly number[] }): Counts {
  const [protectShare = 0, topShare = 0, randomShare = 0] = ratios;
  const reserved = Math.max(2, Math.trunc(protectShare * length));
  const first = sinks < reserved ? sinks : Math.floor(reserved / 2);
  const last = reserved - first;
  const top = Math.min(Math.trunc(topShare * length), Math.max(0, length - reserved));
  const random = Math.min(Math.trunc(randomShare * length), Math.max(0, length - reserved - top));
  return { protect: { first, last }, top, random, total: reserved + top + random };
}

/** Probability that the last `proxies` queries give to each entry when no mask hides the later ones: f32 [kvHeads, n]. */
export function proxyScores(view: LayerView, proxies: number, reduction: 'sum' | 'mean' = 'sum'): Tensor {
  const sums = reduceGroups(view.backend, windowAttention(view, proxies, 'sum', 'none'), view.model.kvHeads);
  return reduction === 'sum' ? sums : view.backend.zip(sums, proxies, 'div');
}

/** ln weight + Gumbel noise: its largest entries are a weighted sample without replacement. */
function gumbelKeys(view: LayerView, scores: Tensor, temperature: number): Tensor {
  const noise = gumbelNoise(view, purpose);
  return view.backend.evaluate(temperature > 0 ? ['add', noise, ['div', scores, temperature]] : noise);
}

/** 1 for entries drawn in rounds from all but the `fixed` best of each head, else 0. */
async function drawnFirst(view: LayerView, raised: Tensor, fixed: number, count: number, temperature: number): Promise<Tensor> {
  const { backend, seed, sequence, layer, model, length } = view;
  const scores = (await raised.read()) as Float32Array;
  const drawn = new Float32Array(model.kvHeads * length);
  for (let head = 0; head < model.kvHeads; head++) {
    const own = scores.subarray(head * length, (head + 1) * length);
    const order = Array.from(own.keys()).sort((a, b) => (own[b] ?? 0) - (own[a] ?? 0) || a - b);
    const rest = order.slice(fixed).sort((a, b) => a - b);
    let next = 0;
    const weights = drawWeights(
      rest.map((index) => own[index] ?? 0),
      temperature,
    );
    for (const at of drawWithoutReplacement(weights, count, () => uniformAt({ seed, sequence, layer, purpose }, head, next++))) {
      drawn[head * length + (rest[at] ?? 0)] = 1;
    }
  }
  return backend.upload(drawn, 'f32', [model.kvHeads, length]);
}
