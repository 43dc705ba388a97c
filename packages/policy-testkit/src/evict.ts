import {
  type Budget,
  type Decision,
  type EvictionPolicy,
  isScored,
  type LayerBudget,
  type LayerView,
  type Observation,
  type PolicyRun,
  type SequenceContext,
  uniformLayer,
} from '@kvsift/policy';
import { type Backend, type Scope, type Selection, scoped, type Tensor } from '@kvsift/tensor';
import { type LayerInputs, layerView, modelOf } from './layer-inputs.js';

/** Which layer of which sequence is evicted, and to what budget. */
export interface EvictOptions {
  readonly budget: Budget;
  readonly counting?: 'floor' | 'kvpress';
  readonly layer?: number;
  readonly layers?: number;
  readonly seed?: number;
  readonly sequence?: number;
}

/** What a policy did to a layer. */
export interface Evicted {
  /** Kept slots per head. */
  readonly kept: readonly (readonly number[])[];
  readonly perHeadBudget: number;
  readonly total: number;
  /** New keys and values of the survivors, where the policy makes them. */
  readonly keys?: Float32Array;
  readonly values?: Float32Array;
}

/** The context of a sequence that consists of the given layer. */
export function contextOf(inputs: LayerInputs, options: EvictOptions): SequenceContext {
  const { budget, counting, layers = 1, seed = 0, sequence = 0 } = options;
  return {
    model: modelOf(inputs, layers),
    promptLength: inputs.length,
    budget,
    ...(counting && { counting }),
    seed,
    sequence,
  };
}

/** A layer of a sequence, and how to look at it. */
export interface LayerSource {
  readonly length: number;
  readonly kvHeads: number;
  /** The view with what `observe` asks for; its tensors are released by the caller. */
  view(observe: Observation, budget: LayerBudget): LayerView;
}

/** Runs a policy on one layer as the engine does: not at all where the budget covers it. */
export async function evictFrom(
  policy: EvictionPolicy,
  context: SequenceContext,
  layer: number,
  source: LayerSource,
): Promise<Evicted> {
  using run = policy.begin(context);
  return await evictIn(run, layer, source);
}

/** As `evictFrom`, in a run that has begun. */
export async function evictIn(run: PolicyRun, layer: number, source: LayerSource): Promise<Evicted> {
  const budget = run.budgets[layer];
  if (budget === undefined) throw new Error(`the policy has no budget for layer ${layer}`);
  if (budget.total >= source.length * source.kvHeads) return everything(source, budget.perHead);
  return readDecision(await run.select(source.view(run.observe, budget)), source, budget.perHead);
}

/** Scores that a scored policy gives to the entries of a layer: [kvHeads, length]. */
export async function scoresFrom(
  policy: EvictionPolicy,
  context: SequenceContext,
  layer: number,
  source: LayerSource,
): Promise<Float32Array> {
  if (!isScored(policy)) throw new Error(`${policy.name} does not score entries`);
  const run = policy.scoring.start(context);
  const budget = policy.scoring.allocate(context)[layer] ?? { perHead: 0, total: 0 };
  const scores = await run.score(source.view(run.observe, budget));
  const numbers = (await scores.read()) as Float32Array;
  run.dispose?.();
  return numbers;
}

/** As `evictFrom`, for a layer given as plain numbers. */
export async function evict(
  backend: Backend,
  policy: EvictionPolicy,
  inputs: LayerInputs,
  options: EvictOptions,
): Promise<Evicted> {
  using scope = scoped(backend);
  return await evictFrom(policy, contextOf(inputs, options), options.layer ?? 0, sourceOf(scope, inputs, options));
}

/** As `scoresFrom`, for a layer given as plain numbers. */
export async function scoresOf(
  backend: Backend,
  policy: EvictionPolicy,
  inputs: LayerInputs,
  options: EvictOptions,
): Promise<Float32Array> {
  using scope = scoped(backend);
  return await scoresFrom(policy, contextOf(inputs, options), options.layer ?? 0, sourceOf(scope, inputs, options));
}

/** Numbers of a tensor that a function computes from the view of a layer. */
export async function viewNumbers(
  backend: Backend,
  inputs: LayerInputs,
  observe: Observation,
  compute: (view: LayerView) => Tensor | Promise<Tensor>,
): Promise<Float32Array> {
  using scope = scoped(backend);
  const source = sourceOf(scope, inputs, {});
  const result = await compute(source.view(observe, uniformLayer(inputs.length, inputs)));
  return (await result.read()) as Float32Array;
}

/** A layer given as plain numbers; tensors of its views belong to the scope. */
export function sourceOf(scope: Scope, inputs: LayerInputs, options: Omit<EvictOptions, 'budget'>): LayerSource {
  const { layer = 0, layers = 1, seed = 0, sequence = 0 } = options;
  return {
    length: inputs.length,
    kvHeads: inputs.kvHeads,
    view: (observe, budget) => ({
      ...layerView(scope.backend, inputs, { layer, layers, budget, observe, seed, sequence }),
      keep: scope.keep,
    }),
  };
}

/** Slots per head of a selection. */
export async function readSelection(selection: Selection): Promise<number[][]> {
  const [indices, offsets] = await Promise.all([selection.indices.read(), selection.offsets.read()]);
  return Array.from({ length: offsets.length - 1 }, (_, head) => [...indices.subarray(offsets[head], offsets[head + 1])]);
}

/** What a decision keeps, as numbers. */
export async function readDecision(
  decision: Decision,
  source: Pick<LayerSource, 'length' | 'kvHeads'>,
  perHeadBudget: number,
): Promise<Evicted> {
  if (decision === 'all') return everything(source, perHeadBudget);
  const { selection, keys, values } = 'selection' in decision ? decision : { selection: decision };
  return {
    kept: await readSelection(selection),
    perHeadBudget,
    total: selection.total,
    ...(keys && { keys: (await keys.read()) as Float32Array }),
    ...(values && { values: (await values.read()) as Float32Array }),
  };
}

function everything(inputs: Pick<LayerSource, 'length' | 'kvHeads'>, perHeadBudget: number): Evicted {
  const all = Array.from({ length: inputs.length }, (_, slot) => slot);
  const kept = Array.from({ length: inputs.kvHeads }, () => all);
  return { kept, perHeadBudget, total: inputs.length * inputs.kvHeads };
}
