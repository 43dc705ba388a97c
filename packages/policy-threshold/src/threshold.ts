import {
  type Decision,
  definePolicy,
  demandNumber,
  gatherView,
  joinMemories,
  LayerTensors,
  type LayerView,
  layersNamed,
  narrowView,
  type PolicyRun,
  type RunMemory,
  refuseOthers,
  type ScoredPolicy,
  type ScoreRun,
  type SequenceContext,
  scoreMemory,
  scoresOfLayer,
  uniformLayer,
} from '@kvsift/policy';
import { KvsiftError, type Tensor } from '@kvsift/tensor';

/** Eviction of what scores below a threshold (specification 28d), as DMS evicts what it has learned to. */
export const threshold = definePolicy({
  name: 'threshold',
  title: 'Threshold eviction',
  idea: 'Each entry is scored once, when its token arrives, and judged once, when it leaves a sliding window: it goes where its score is below the threshold. Heads keep as much as their scores deserve, and no budget is set.',
  source: 'kvpress DMSPress, after “Inference-Time Hyper-Scaling with KV Cache Compression” (arXiv 2506.05345)',
  parameters: {
    policy: { kind: 'scored', description: 'What scores the entries.' },
    threshold: { kind: 'number', default: 0, unit: 'score', description: 'Entries that score less are evicted.' },
    window: {
      kind: 'integer',
      default: 128,
      min: 1,
      unit: 'tokens',
      description: 'Last tokens that are not judged yet; at least those that the wrapped policy protects.',
    },
    decode: {
      kind: 'flag',
      default: true,
      description: 'Judge the tokens of the answer too, each scored by itself; false: only those of the prompt.',
    },
  },
  budget: 'own',
  observes: 'what the wrapped policy observes, while decoding of the newest token',
  costs: 'those of the wrapped policy; scores of judged entries are read back, at each step kvHeads numbers',
  phases: ['prefill', 'decode'],
  profiles: { kvpress: { description: 'kvpress DMSPress.', parameters: { window: 128, decode: false } } },
  deviations: [
    'The first tokens that the wrapped policy protects are kept whatever they score, by a mask.',
    'Entries are freed; kvpress masks them.',
    'Layers with a sliding window stay whole.',
  ],
  create: ({ policy, threshold: least, window, decode }) => ({
    ragged: true,
    ignoresBudget: true,
    traits: decode ? (['decode'] as const) : [],
    begin: (context) => start(policy, context, { least, window, decode }),
  }),
});

interface Options {
  readonly least: number;
  readonly window: number;
  readonly decode: boolean;
}

interface Judgement {
  readonly least: number;
  /** Newest entries that are not judged yet. */
  readonly window: number;
  /** Entries that are never evicted, from the start. */
  readonly first: number;
}

function start(policy: ScoredPolicy, context: SequenceContext, { least, window, decode }: Options): PolicyRun {
  const scoring = policy.scoring.start(context);
  const problem = decode ? problemWhileDecoding(scoring) : undefined;
  if (problem !== undefined) {
    scoring.dispose?.();
    throw new KvsiftError(
      'policy_invalid',
      `threshold: the score of ${policy.name} ${problem}, a token of the answer cannot be judged by it when it arrives; use decode=false`,
      { policy: policy.name },
    );
  }
  const { first, last } = policy.scoring.protect;
  return run(policy, context, scoring, decode, { least, first, window: Math.max(window, last) });
}

/** Why a score says nothing of a token alone. */
function problemWhileDecoding({ decode }: ScoreRun): string | undefined {
  if (decode === undefined) return 'makes sense at prefill only';
  if (decode.step !== undefined) return 'grows while the answer is read';
  const { queries = 'none', queriesBeforeRotation = 'none' } = decode.observe;
  return queries === 'none' && queriesBeforeRotation === 'none' ? undefined : 'compares entries by what queries pay them';
}

/**
 * @param pending scores of each layer's newest entries, which are not judged yet: f32 [kvHeads, pending]
 * @param seen tokens that a layer had seen when it was last looked at
 */
function run(
  policy: ScoredPolicy,
  context: SequenceContext,
  scoring: ScoreRun,
  decode: boolean,
  judgement: Judgement,
  pending = new LayerTensors(),
  seen = new Map<number, number>(),
): PolicyRun {
  const { model, promptLength } = context;
  const dispose = () => {
    scoring.dispose?.();
    pending.dispose();
  };
  const judge = async (view: LayerView, scores: Tensor): Promise<Decision> => {
    const left = scores.shape[1] ?? 0;
    const decision = await judged(view, scores, judgement);
    if (!decode) return decision;
    pending.set(view.layer, view.keep(view.backend.slice(scores, 1, Math.max(0, left - judgement.window), left)));
    seen.set(view.layer, view.seen);
    return decision;
  };
  const arrive = async (view: LayerView): Promise<Tensor> => {
    const fresh = await scoresOfLayer(policy.name, scoring, await newest(view, view.seen - (seen.get(view.layer) ?? 0)));
    const before = pending.get(view.layer);
    return before === undefined ? fresh : view.backend.concat([before, fresh], 1);
  };
  const own = scoreMemory(scoring);
  return {
    observe: scoring.observe,
    // One entry less than there are, so that every layer is shown.
    budgets: Array.from({ length: model.layers }, () => uniformLayer(promptLength - 1, model)),
    select: async (view) => (isWindowed(view) ? 'all' : judge(view, await scoresOfLayer(policy.name, scoring, view))),
    ...(decode &&
      scoring.decode && {
        decode: {
          observe: scoring.decode.observe,
          async step(view: LayerView) {
            return isWindowed(view) ? 'all' : judge(view, await arrive(view));
          },
          async read(view: LayerView) {
            if (isWindowed(view)) return;
            const scores = await arrive(view);
            pending.set(view.layer, view.keep(scores));
            seen.set(view.layer, view.seen);
          },
        },
        ...(own && { memory: joinMemories({ own, scores: pendingMemory(pending), seen: seenMemory(seen) }) }),
      }),
    fork: () => run(policy, context, scoring.fork?.() ?? scoring, decode, judgement, pending.fork(), new Map(seen)),
    dispose,
    [Symbol.dispose]: dispose,
  };
}

function isWindowed({ attention }: LayerView): boolean {
  return attention.window !== undefined;
}

/** All entries but those that have left the window and score too little. @param scores f32 [kvHeads, pending] of the newest entries */
async function judged(view: LayerView, scores: Tensor, { least, window, first }: Judgement): Promise<Decision> {
  const { backend, cache } = view;
  const [heads = 0, pending = 0] = scores.shape;
  const leaving = pending - window;
  if (leaving <= 0) return 'all';
  const [numbers, lengths] = await Promise.all([backend.slice(scores, 1, 0, leaving).read(), cache.lengths.read()]);
  let all = 0;
  const slots: number[] = [];
  const offsets = [0];
  for (let head = 0; head < heads; head++) {
    const length = lengths[head] ?? 0;
    all += length;
    for (let slot = 0; slot < length; slot++) {
      const at = slot - (length - pending);
      const stays = slot < first || at < 0 || at >= leaving || (numbers[head * leaving + at] ?? 0) >= least;
      if (stays) slots.push(slot);
    }
    offsets.push(slots.length);
  }
  return slots.length === all ? 'all' : backend.selection(Int32Array.from(slots), Int32Array.from(offsets));
}

/** The view of the last `count` entries alone, with what was observed of their tokens: heads may hold different numbers of entries, no score takes that. */
async function newest(view: LayerView, count: number): Promise<LayerView> {
  const { backend, cache, budget } = view;
  const lengths = await cache.lengths.read();
  const slots = Array.from(lengths, (length) => Array.from({ length: count }, (_, at) => length - count + at));
  const offsets = Array.from({ length: slots.length + 1 }, (_, head) => head * count);
  const own = gatherView(backend, cache, backend.selection(Int32Array.from(slots.flat()), Int32Array.from(offsets)));
  return {
    ...narrowView(view, { hidden: { last: count }, keysBeforeRotation: true }, budget, backend),
    cache: own,
    length: count,
  };
}

function pendingMemory(pending: LayerTensors): RunMemory {
  return pending.memory(
    (_, { model, seen }) => ({ dtype: 'f32', shape: [model.kvHeads, [1, seen]] }),
    (layer, { model }) => model.windows?.[layer] === undefined,
  );
}

/** Every layer that was looked at has seen what the session has. */
function seenMemory(numbers: Map<number, number>): RunMemory {
  return {
    save: () => ({ numbers: Object.fromEntries(numbers), tensors: {} }),
    check(state, standing) {
      refuseOthers(state, (name) => name in state.numbers);
      const named = new Set(layersNamed(state.numbers, standing));
      for (let layer = 0; layer < standing.model.layers; layer++) {
        if (standing.model.windows?.[layer] === undefined || named.has(layer))
          demandNumber(state, String(layer), [standing.seen, standing.seen]);
      }
    },
    restore: (state) => {
      for (const [layer, value] of Object.entries(state.numbers)) numbers.set(Number(layer), value);
    },
  };
}
