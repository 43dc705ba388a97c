import {
  type Compensation,
  type Decision,
  definePolicy,
  evictedWeights,
  hasEvicted,
  joinMemories,
  LayerTensors,
  type LayerView,
  type ModelShape,
  noMemory,
  type PolicyRun,
  type RunMemory,
  wrapping,
} from '@kvsift/policy';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import { KvsiftError } from '@kvsift/tensor';
import { type FeatureMap, type FeatureName, type FeaturePlace, featureCount, featureMaps, forScale } from './features.js';
import { type LearnedFeatures, learnedMap, placeWeights, readLearned } from './learned.js';
import { mixed, type SafeRule, stateOf } from './state.js';

/** RatchetKV (specification 11) as compensation around any policy that keeps the same number in every head. */
export const ratchet = definePolicy({
  name: 'ratchet',
  title: 'RatchetKV',
  idea: 'Evicted entries go into a linear-attention state of constant size per head. Decoding adds what the state says to the exact attention over the kept entries.',
  source: 'menik1126/NTK-KV: second-order linear kernel approximation of softmax, training-free; no paper',
  parameters: {
    policy: { kind: 'policy', default: () => streamingLlm(), description: 'What chooses the entries that stay exact.' },
    features: {
      kind: 'choice',
      choices: ['code', 'diagonal', 'taylor', 'elu', 'learned'] as const,
      default: 'code',
      description:
        'Feature map: the repository’s (2 · headDim + 1 features), Taylor without mixed terms, Taylor in full (about headDim² / 2), elu + 1, or one that was trained for the model.',
    },
    weights: {
      kind: 'text',
      default: '',
      description: 'learned: path of the trained map (safetensors, tools/ratchet/train.py).',
    },
    rule: {
      kind: 'choice',
      choices: ['element', 'vector', 'none'] as const,
      default: 'element',
      description: 'Where the mixed output is trusted: by component, by row, everywhere.',
    },
    limit: {
      kind: 'number',
      default: 2,
      min: 0,
      description: 'element: ratios within (2 − limit, limit) are trusted; vector: changes up to limit times the exact row.',
    },
  },
  observes: 'what the wrapped policy observes, keys and values; the log-sum-exp of decoded rows',
  costs: '2 · kvHeads · n · F · (headDim + 1) FLOPs at prefill, as much per decoded query head and state',
  phases: ['prefill', 'decode'],
  profiles: {
    reference: {
      description: 'NTK-KV repository, with streaming-llm.',
      parameters: { features: 'code', rule: 'element', limit: 2 },
    },
  },
  deviations: [
    'The prompt’s own output is exact; the repository mixes the state into it, which counts evicted tokens twice and leaks the future.',
    'Layers with a sliding window keep no state: what has left the window must stay out of sight.',
    'The state knows no soft-cap: logits of evicted tokens are not capped.',
    'The state costs memory of its own, about headDim + 1.5 entries per head for `code`, on top of the budget.',
  ],
  create: ({ policy, features, weights, rule, limit }) => {
    const inner = wrapping('ratchet', policy, ['compensation', 'retrieval', 'reread', 'segments', 'renumbering', 'merging']);
    if ((features === 'learned') !== (weights !== '')) {
      throw new KvsiftError('policy_invalid', 'ratchet: features=learned and weights="map.safetensors" go together');
    }
    return {
      ragged: false,
      traits: [...(policy.traits ?? []), 'compensation'] as const,
      begin: (context) => {
        const map = features === 'learned' ? new LearnedMap(weights, context.model) : new BuiltIn(features, context.model);
        const held = { weight: new LayerTensors(), bias: new LayerTensors() };
        return compensated(inner(context), map, { kind: rule, limit }, new LayerTensors(), held);
      },
    };
  },
});

/** What the map of each layer's queries needs on the device. */
interface HeldWeights {
  readonly weight: LayerTensors;
  readonly bias: LayerTensors;
}

/** A feature map that may have to be read first. */
interface Loading {
  /** Resolves once `at` may be called; tells how many features a row has. */
  ready(): Promise<number>;
  /** Brings what steps need of a layer to the device, unless it is there: they would bring it each time. */
  hold(view: LayerView, held: HeldWeights): void;
  at(place: FeaturePlace, held: HeldWeights): FeatureMap;
}

class BuiltIn implements Loading {
  readonly #map: FeatureMap;

  constructor(
    private readonly name: FeatureName,
    private readonly model: ModelShape,
  ) {
    this.#map = forScale(featureMaps[name], model);
  }

  async ready(): Promise<number> {
    return featureCount(this.name, this.model.headDim);
  }

  hold(): void {}

  at(): FeatureMap {
    return this.#map;
  }
}

class LearnedMap implements Loading {
  #learned: LearnedFeatures | undefined;

  constructor(
    private readonly path: string,
    private readonly model: ModelShape,
  ) {}

  async ready(): Promise<number> {
    this.#learned ??= await readLearned(this.path, this.model);
    return this.#learned.features;
  }

  hold({ backend, keep, layer }: LayerView, held: HeldWeights): void {
    if (held.weight.get(layer) !== undefined) return;
    const { weight, bias } = placeWeights(backend, { layer, side: 'queries' }, this.#demand(), this.model);
    held.weight.set(layer, keep(weight));
    held.bias.set(layer, keep(bias));
  }

  at(place: FeaturePlace, held: HeldWeights): FeatureMap {
    const learned = this.#demand();
    return forScale((backend, x) => {
      const [weight, bias] = place.side === 'queries' ? [held.weight.get(place.layer), held.bias.get(place.layer)] : [];
      return [learnedMap(backend, x, weight && bias ? { weight, bias } : placeWeights(backend, place, learned, this.model))];
    }, this.model);
  }

  #demand(): LearnedFeatures {
    if (this.#learned === undefined) throw new KvsiftError('policy_violation', 'ratchet: the feature map has not been read yet');
    return this.#learned;
  }
}

function compensated(inner: PolicyRun, features: Loading, rule: SafeRule, states: LayerTensors, held: HeldWeights): PolicyRun {
  const { decode, fork, revise } = inner;
  const exact = inner.memory ?? (decode === undefined ? noMemory : undefined);
  const absorb = async (view: LayerView, decision: Decision): Promise<Decision> => {
    // What leaves the window is never attended to again.
    if (decision === 'all' || view.attention.window !== undefined) return decision;
    await features.ready();
    features.hold(view, held);
    states.set(
      view.layer,
      view.keep(withEvicted(view, decision, features.at({ layer: view.layer, side: 'keys' }, held), states)),
    );
    return decision;
  };
  const compensation: Compensation = {
    correct(layer, backend, q, output, logSumExp) {
      const state = states.get(layer);
      if (state === undefined) return output;
      return mixed(backend, features.at({ layer, side: 'queries' }, held), state, q, output, logSumExp, rule);
    },
  };
  const dispose = () => {
    for (const tensors of [states, held.weight, held.bias]) tensors.dispose();
    inner.dispose();
  };
  return {
    ...inner,
    select: async (view) => absorb(view, await inner.select(view)),
    ...(decode && {
      decode: { ...decode, repeats: false, step: async (view: LayerView) => absorb(view, await decode.step(view)) },
    }),
    ...(revise && {
      async revise(done: number, earlier: (layer: number) => LayerView) {
        const revisions = await revise.call(inner, done, earlier);
        for (const { layer, decision } of revisions) await absorb(earlier(layer), decision);
        return revisions;
      },
    }),
    compensation,
    held: () => ({ entries: inner.held?.().entries ?? 0, bytes: states.bytes + (inner.held?.().bytes ?? 0) }),
    ...(exact && {
      memory: joinMemories({
        exact,
        states: stateMemory(states, features),
      }),
    }),
    fork: () => {
      const twins = { weight: held.weight.fork(), bias: held.bias.fork() };
      return compensated(fork === undefined ? inner : fork.call(inner), features, rule, states.fork(), twins);
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** Every layer that has lost entries has a state of as many features as the map makes; decoding needs the map at once. */
function stateMemory(states: LayerTensors, features: Loading): RunMemory {
  const expecting = (features: number) =>
    states.memory(
      (_layer, { model }) => ({ dtype: 'f32', shape: [model.kvHeads, features, model.headDim + 1] }),
      (layer, standing) => hasEvicted(standing, layer),
    );
  return {
    ...states.storage,
    check: async (state, standing) => expecting(await features.ready()).check(state, standing),
  };
}

/** The layer's state with what the decision evicts. */
function withEvicted(view: LayerView, decision: Exclude<Decision, 'all'>, features: FeatureMap, states: LayerTensors) {
  const { backend, cache, layer } = view;
  const selection = 'selection' in decision ? decision.selection : decision;
  const evicted = stateOf(view, cache, features, evictedWeights(backend, selection, view.length));
  const before = states.get(layer);
  return before === undefined ? evicted : backend.zip(before, evicted, 'add');
}
