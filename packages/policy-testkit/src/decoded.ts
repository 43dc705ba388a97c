import type { DecodeRule, EvictionPolicy, LayerBudget, PolicyRun } from '@kvsift/policy';
import { type Backend, type Scope, scoped } from '@kvsift/tensor';
import { contextOf, type Evicted, type EvictOptions, evictIn, readDecision, sourceOf } from './evict.js';
import { type LayerInputs, layerView } from './layer-inputs.js';
import { randomInputs } from './random-inputs.js';

/** What a decode rule did in one step. */
export interface DecodedStep extends Pick<Evicted, 'kept'> {
  /** Entries that the step found, its own included. */
  readonly length: number;
  /** Names of the ops that it called, in their order. */
  readonly ops: readonly string[];
  /** Whether it returned a promise. */
  readonly waits: boolean;
}

/** One layer of a sequence whose prompt has been evicted, token by token. */
export class DecodedSequence {
  readonly #rule: DecodeRule;
  readonly #budget: LayerBudget;
  readonly #layer: number;
  #held: Pick<LayerInputs, 'length' | 'keys' | 'values'>;
  #seen: number;

  private constructor(
    private readonly scope: Scope,
    private readonly tokens: LayerInputs,
    private readonly options: EvictOptions,
    rule: DecodeRule,
    budget: LayerBudget,
    prompt: number,
    held: Pick<LayerInputs, 'length' | 'keys' | 'values'>,
  ) {
    this.#rule = rule;
    this.#budget = budget;
    this.#layer = options.layer ?? 0;
    this.#seen = prompt;
    this.#held = held;
  }

  /**
   * Evicts the prompt, the first `prompt` of the given tokens; the others come one by one with `step`.
   * @returns undefined where the run has no decode rule, or keeps other numbers of entries in other heads
   */
  static async begin(
    scope: Scope,
    run: PolicyRun,
    tokens: LayerInputs,
    prompt: number,
    options: EvictOptions,
  ): Promise<DecodedSequence | undefined> {
    const { layer = 0 } = options;
    const budget = run.budgets[layer];
    if (run.decode === undefined || budget === undefined) return undefined;
    const inputs = firstOf(tokens, prompt);
    const result = await evictIn(run, layer, sourceOf(scope, inputs, options));
    if (new Set(result.kept.map((slots) => slots.length)).size !== 1) return undefined;
    return new DecodedSequence(scope, tokens, options, run.decode, budget, prompt, survivorsOf(inputs, result));
  }

  get rule(): DecodeRule {
    return this.#rule;
  }

  /** Entries per head. */
  get length(): number {
    return this.#held.length;
  }

  /** Appends the next token and lets the rule evict. */
  async step(): Promise<DecodedStep> {
    const { tokens, scope } = this;
    const at = this.#seen++;
    const joined = { ...rowsBehind(tokens, at + 1, this.#held.length + 1), ...appended(tokens, this.#held, at) };
    const ops: string[] = [];
    const view = layerView(noting(scope.backend, ops), joined, {
      ...this.options,
      budget: this.#budget,
      observe: this.#rule.observe,
      seen: this.#seen,
    });
    ops.length = 0;
    const decision = this.#rule.step({ ...view, keep: scope.keep });
    const waits = decision instanceof Promise;
    const source = { length: joined.length, kvHeads: tokens.kvHeads };
    const result = await readDecision(await decision, source, this.#budget.perHead);
    this.#held = survivorsOf(joined, result);
    return { kept: result.kept, length: joined.length, ops, waits };
  }
}

/** Keeps lists of what a policy does in `steps` steps behind a prompt of `prompt` tokens; undefined where it has no rule to test. */
export async function decoded(
  backend: Backend,
  policy: EvictionPolicy,
  seed: number,
  { prompt, steps, ...options }: EvictOptions & { readonly prompt: number; readonly steps: number },
): Promise<{ readonly rule: DecodeRule; readonly before: number; readonly steps: readonly DecodedStep[] } | undefined> {
  using scope = scoped(backend);
  const tokens = randomInputs(seed, { length: prompt + steps });
  using run = policy.begin(contextOf(firstOf(tokens, prompt), options));
  const sequence = await DecodedSequence.begin(scope, run, tokens, prompt, options);
  if (sequence === undefined) return undefined;
  const before = sequence.length;
  const taken: DecodedStep[] = [];
  while (taken.length < steps) taken.push(await sequence.step());
  return { rule: sequence.rule, before, steps: taken };
}

const perToken = ['queries', 'queriesBeforeRotation', 'keysBeforeRotation', 'keys', 'values'] as const;

/** The layer as it is once its first `length` tokens have been read. */
export function firstOf(inputs: LayerInputs, length: number): LayerInputs {
  return rowsBehind(inputs, length, length);
}

/** The last `count` of the first `end` tokens. */
function rowsBehind(inputs: LayerInputs, end: number, count: number): LayerInputs {
  const { headDim, length, hidden } = inputs;
  const width = (hidden?.length ?? 0) / length;
  const cut: Partial<Record<(typeof perToken)[number], Float32Array>> = {};
  for (const name of perToken) {
    const all = inputs[name];
    if (all === undefined) continue;
    const heads = all.length / (length * headDim);
    cut[name] = byHead(heads, count * headDim, (head) =>
      all.subarray((head * length + end - count) * headDim, (head * length + end) * headDim),
    );
  }
  return { ...inputs, ...cut, length: count, ...(hidden && { hidden: hidden.slice((end - count) * width, end * width) }) };
}

/** What is held, and the token behind it. */
function appended(
  { kvHeads, headDim, length, ...tokens }: LayerInputs,
  held: Pick<LayerInputs, 'length' | 'keys' | 'values'>,
  at: number,
) {
  const joined = (name: 'keys' | 'values') =>
    byHead(kvHeads, (held.length + 1) * headDim, (head) => [
      ...held[name].subarray(head * held.length * headDim, (head + 1) * held.length * headDim),
      ...tokens[name].subarray((head * length + at) * headDim, (head * length + at + 1) * headDim),
    ]);
  return { keys: joined('keys'), values: joined('values') };
}

/** Keys and values that are left; those that the policy made anew are its own. */
function survivorsOf({ kvHeads, headDim, length, ...inputs }: LayerInputs, { kept, ...made }: Evicted) {
  const count = kept[0]?.length ?? 0;
  const left = (name: 'keys' | 'values') =>
    made[name] ??
    byHead(kvHeads, count * headDim, (head) =>
      (kept[head] ?? []).flatMap((slot) => [
        ...inputs[name].subarray((head * length + slot) * headDim, (head * length + slot + 1) * headDim),
      ]),
    );
  return { length: count, keys: left('keys'), values: left('values') };
}

function byHead(heads: number, size: number, numbersOf: (head: number) => ArrayLike<number>): Float32Array {
  const out = new Float32Array(heads * size);
  for (let head = 0; head < heads; head++) out.set(numbersOf(head), head * size);
  return out;
}

/** A backend that notes which ops are called. */
function noting(backend: Backend, ops: string[]): Backend {
  return new Proxy(backend, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]) => {
        ops.push(String(name));
        return Reflect.apply(value, target, given);
      };
    },
  });
}
