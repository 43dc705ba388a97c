import { KvsiftError, type Selection, type Tensor } from '@kvsift/tensor';
import { formatBudget } from './budget.js';
import { chain } from './chain.js';
import type { EvictionPolicy, LayerBudget, LayerView, Observation, PolicyRun, SequenceContext } from './contract.js';
import { noMemory, type RunMemory } from './run-memory.js';

/** Entries of each head that are kept whatever their score: the first ones (sinks) and the last ones (recent window). */
export interface Protection {
  readonly first: number;
  readonly last: number;
}

/** An order of entries that score alike. */
export type Ties = 'earlier' | 'later';

/** Scores the entries of one sequence's layers. All state of the sequence lives here. */
export interface ScoreRun {
  readonly observe: Observation;
  /** f32 [kvHeads, length]: higher is kept first. Values at protected entries are ignored. */
  score(view: LayerView): Tensor | Promise<Tensor>;
  /** Told after each selection, for state that follows the survivors. */
  kept?(view: LayerView, scores: Tensor, selection: Selection): void;
  /** What scoring while decoding needs; absent: this score makes sense at prefill only. */
  readonly decode?: {
    readonly observe: Observation;
    /** Which of equally scored entries are kept while decoding. Default: as after the prompt. */
    readonly ties?: Ties;
    /** Called after every step, also where nothing is evicted. */
    step?(view: LayerView): void | Promise<void>;
    /** As in `DecodeRule`, of `score`, `step`, `kept` and the scoring's `remaining`, but for sliding windows, which compare positions. */
    readonly repeats?: boolean;
  };
  /** Needed where there is state. */
  fork?(): ScoreRun;
  /** Likewise, for sessions that are saved. */
  readonly memory?: RunMemory;
  /** Frees the state, where there is some. */
  dispose?(): void;
}

/** What a saved session must hold of a scoring; undefined where it has state and cannot tell. */
export function scoreMemory(run: ScoreRun): RunMemory | undefined {
  return run.memory ?? (run.fork === undefined ? noMemory : undefined);
}

/** A way to score entries, and how many of them it keeps where nobody wraps it. */
export interface Scoring {
  readonly protect: Protection;
  /** Which of equally scored entries are kept. Default: the earlier ones. */
  readonly ties?: Ties;
  /** Entries that each layer keeps of the prompt. */
  allocate(context: SequenceContext): readonly LayerBudget[];
  /**
   * What an eviction while decoding leaves of a layer that holds `length` entries per head of `seen` tokens; 'all': it is not touched. Absent: what
   * `allocate` said.
   */
  remaining?(context: SequenceContext): (layer: number, length: number, seen: number) => LayerBudget | 'all';
  /** Begins to score one sequence. */
  start(context: SequenceContext): ScoreRun;
}

/** A policy that keeps the best-scored entries; wrappers (adaptive heads, chunks, re-rotation ...) take it apart. */
export interface ScoredPolicy extends EvictionPolicy {
  readonly scoring: Scoring;
}

/** True for policies that expose their scoring. */
export function isScored(policy: EvictionPolicy): policy is ScoredPolicy {
  return 'scoring' in policy;
}

/**
 * Protection that fits into `perHead` entries. Where it does not, a share of the prompt shrinks it (the window first keeps its end, then the
 * sinks their start), while a fixed budget is a mistake.
 * @throws KvsiftError `budget_invalid`
 */
export function fitProtection(policy: string, protect: Protection, perHead: number, context: SequenceContext): Protection {
  const { first, last } = protect;
  if (first + last <= perHead) return protect;
  if (context.budget.kind === 'share' || perHead >= context.promptLength) {
    const window = Math.min(last, perHead);
    return { first: Math.min(first, perHead - window), last: window };
  }
  throw new KvsiftError(
    'budget_invalid',
    `${policy} protects ${first + last} entries per head (${first} sinks, ${last} recent); the budget ${formatBudget(context.budget)} leaves ${perHead}`,
    { policy, protected: first + last, perHead },
  );
}

/** Keeps the `view.budget.perHead` best-scored entries of each head, protected ones included. */
export function selectBest(view: LayerView, scores: Tensor, protect: Protection, ties: Ties = 'earlier'): Selection {
  // Among equals the rank rises with the slot.
  return view.backend.top(ties === 'later' ? view.backend.rank(scores) : scores, {
    keep: Math.min(view.budget.perHead, view.length),
    protectFirst: protect.first,
    protectLast: protect.last,
  });
}

/** The policy body for a scoring: the best entries of each head, the same number in every head of a layer. */
export function keepBest(name: string, scoring: Scoring): Pick<ScoredPolicy, 'ragged' | 'scoring' | 'begin'> {
  return {
    ragged: false,
    scoring,
    begin(context) {
      const budgets = scoring.allocate(context);
      const protections = budgets.map(({ perHead }) => fitProtection(name, scoring.protect, perHead, context));
      return scoredRun(name, scoring.start(context), budgets, (view, scores) =>
        selectBest(view, scores, protections[view.layer] ?? scoring.protect, scoring.ties),
      );
    },
  };
}

/** The layer's scores of a policy. @throws KvsiftError `policy_violation` where they are not f32 [kvHeads, length] */
export function scoresOfLayer(policy: string, run: ScoreRun, view: LayerView): Tensor | Promise<Tensor> {
  return chain(run.score(view), (scores) => {
    const { dtype, shape } = scores;
    const { length, model } = view;
    if (dtype === 'f32' && shape.length === 2 && shape[0] === model.kvHeads && shape[1] === length) return scores;
    throw new KvsiftError(
      'policy_violation',
      `${policy}: scores of layer ${view.layer} must be f32 [${model.kvHeads}, ${length}], one per KV head and entry, not ${dtype} [${shape.join(', ')}]`,
      { policy, layer: view.layer },
    );
  });
}

/** A run that scores a layer, as the policy of that name does, and hands the scores to `choose`. */
export function scoredRun(
  policy: string,
  run: ScoreRun,
  budgets: readonly LayerBudget[],
  choose: (view: LayerView, scores: Tensor) => Selection | Promise<Selection>,
): PolicyRun {
  const dispose = () => run.dispose?.();
  return {
    observe: run.observe,
    budgets,
    async select(view) {
      const scores = await scoresOfLayer(policy, run, view);
      const selection = await choose(view, scores);
      run.kept?.(view, scores, selection);
      return selection;
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}
