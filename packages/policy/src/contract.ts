import type { AttentionShape, Backend, KvView, Selection, Tensor } from '@kvsift/tensor';
import type { RunMemory } from './run-memory.js';

/** The numbers of a model that policies and budgets depend on. */
export interface ModelShape {
  readonly layers: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly hidden: number;
  /** Bytes of one cache entry of one KV head: key and value in the cache's dtype, and its position where any layer keeps positions. */
  readonly entryBytes: number;
  /** Sliding window in positions per layer; undefined entries attend to everything. Absent: no layer has one. */
  readonly windows?: readonly (number | undefined)[];
  /** What attention multiplies logits by. Absent: 1 / √headDim. */
  readonly attentionScale?: number;
}

/** How much to keep. `share` is of the prompt, exact: numerator / denominator. `bytes` is for the whole cache, all layers. */
export type Budget =
  | { readonly kind: 'tokens'; readonly tokens: number }
  | { readonly kind: 'share'; readonly numerator: number; readonly denominator: number }
  | { readonly kind: 'bytes'; readonly bytes: number };

/** What one sequence brings to a policy before its first layer runs. */
export interface SequenceContext {
  readonly model: ModelShape;
  /** Tokens of the prompt (of the part that may be evicted). */
  readonly promptLength: number;
  readonly budget: Budget;
  /** How a share becomes a count; 'kvpress' repeats the rounding of kvpress 0.5.5 for parity tests. Default 'floor'. */
  readonly counting?: 'floor' | 'kvpress';
  /** Seed and index of the sequence; random policies draw from streams named by them. */
  readonly seed: number;
  readonly sequence: number;
}

/** Which rows of a prefill a policy wants to see. */
export type ObservedRows = 'none' | 'all' | { readonly last: number };

/**
 * What the engine keeps of a layer's prefill for `select`. Everything is 'none' unless asked for; what is not asked for costs nothing.
 * A closed set: a policy that needs something else extends it together with the engine.
 */
export interface Observation {
  /** Rotated queries, f32 [rows, queryHeads · headDim]. */
  readonly queries?: ObservedRows;
  /** Queries before rotation (after q-norm), same shape. */
  readonly queriesBeforeRotation?: ObservedRows;
  /** Keys before rotation (after k-norm), f32 [n, kvHeads · headDim]. */
  readonly keysBeforeRotation?: boolean;
  /** Input of the attention block after its norm, f32 [rows, hidden]. */
  readonly hidden?: ObservedRows;
  /** Probability that each entry got from all rows, f32 [queryHeads, n]: added up while the layer attends. */
  readonly columnSums?: boolean;
  /** The output projection [hidden, queryHeads · headDim], a weight in its stored form: for `linear`, `projectedNorms` and `dequantize`. */
  readonly outputProjection?: boolean;
}

/** Entries that one layer may keep. */
export interface LayerBudget {
  /** Entries per KV head, protected ones included; an average where `ragged`. */
  readonly perHead: number;
  /** Entries over all KV heads. */
  readonly total: number;
}

/** One layer of one sequence, as a policy sees it. */
export interface LayerView {
  readonly layer: number;
  readonly model: ModelShape;
  /** Entries per KV head before eviction; in a layer with a sliding window those that later tokens can still see. */
  readonly length: number;
  /** Tokens that the sequence has seen so far, evicted ones included. */
  readonly seen: number;
  /** Position of the next token in this layer, where survivors have been given new ones. Absent: `seen`. */
  readonly nextPosition?: number;
  readonly budget: LayerBudget;
  /** Tensors made through this backend are released once the layer has been compacted; call `keep` for those that must live on. */
  readonly backend: Backend;
  readonly keep: (tensor: Tensor) => Tensor;
  /** All entries, not yet evicted. */
  readonly cache: KvView;
  readonly attention: AttentionShape;
  readonly rope: { readonly inverseFrequencies: Tensor; readonly scale: number };
  readonly seed: number;
  readonly sequence: number;
  readonly queries?: Tensor;
  /** Log-sum-exp of the attention of `queries`, f32 [rows, queryHeads], where the prefill has attended with all of them. */
  readonly queryLogSums?: Tensor;
  readonly queriesBeforeRotation?: Tensor;
  readonly keysBeforeRotation?: Tensor;
  readonly hidden?: Tensor;
  readonly columnSums?: Tensor;
  readonly outputProjection?: Tensor;
}

/** What a policy decides for one layer. */
export interface Survivors {
  readonly selection: Selection;
  /** New keys of the survivors, f32 [kvHeads, kept, headDim] (re-rotation, merging); uniform selections only. */
  readonly keys?: Tensor;
  /** New values, likewise. */
  readonly values?: Tensor;
  /** Where the cache keeps positions, those of the survivors become 0, 1, 2 …; uniform selections only. */
  readonly renumbered?: boolean;
}

/** Kept entries of one layer; 'all' leaves the layer as it is. */
export type Decision = Selection | Survivors | 'all';

/** What a cascade decides anew for an earlier layer: slots are those of the compacted cache. */
export interface Revision {
  readonly layer: number;
  readonly decision: Decision;
}

/** Eviction while text is generated: called layer by layer, in order, once a step has appended its entries and attended to them; later layers may have done so too. */
export interface DecodeRule {
  /** What the engine buffers of the latest decode rows (and of the prompt's end, where the prefill observed it). */
  readonly observe: Observation;
  /** `view.length` counts the new entries; `view.queries` and the others hold the latest rows, oldest first. */
  step(view: LayerView): Decision | Promise<Decision>;
  /**
   * Where steps over equally many entries enqueue the same ops, whatever the step: nothing on the host depends on `view.seen`, `step` returns no promise,
   * and all of the run's state is in its `memory`, which takes back at any time, at once, what it saves. The engine records the ops of such a step and
   * repeats them as long as each step evicts what it appends.
   */
  readonly repeats?: boolean;
  /** Takes note of tokens that are read at once behind the prompt (a second turn): what `observe` names comes with all their rows. Evicts nothing. */
  read?(view: LayerView): void | Promise<void>;
}

/**
 * Attention that takes into account what the cache itself no longer holds (RatchetKV, ThinK): called after each attention of a layer by tokens that
 * come after the prompt, decoded or read at once. What it holds changes only while a prompt is read or in the run's decode rule: where there is none,
 * the engine records these ops with those of the step and repeats them.
 */
export interface Compensation {
  /** q f32 [rows, queryHeads · headDim], output likewise, logSumExp f32 [rows, queryHeads]: the corrected output. */
  correct(layer: number, backend: Backend, q: Tensor, output: Tensor, logSumExp: Tensor): Tensor;
}

/** Attention over chosen entries only (Quest): nothing is evicted, each decode step reads what its query is likely to attend to. */
export interface Retrieval {
  /**
   * Entries that a layer's attention reads in this step, of each KV head or of each query head; `view.queries` is its one query row, `view.cache` holds
   * its key and value already.
   */
  choose(view: LayerView): Selection | 'all';
}

/**
 * A second reading after the prefill (KVzip): other tokens are read on top of the whole cache, looked at layer by layer, and taken back. Only then
 * the layers shrink.
 */
export interface Reread {
  /** Token ids of each pass over a prompt. `encode` turns text into ids without special tokens added. */
  passes(prompt: Int32Array, encode: (text: string) => Int32Array): readonly Int32Array[];
  /** What each pass keeps for `look`. */
  readonly observe: Observation;
  /** One layer of one pass: `view.cache` ends with the pass's own entries, observed rows are the pass's. */
  look(pass: number, view: LayerView): void | Promise<void>;
  /** What each layer keeps of the prompt, once all passes are done. */
  decide(backend: Backend): readonly Decision[] | Promise<readonly Decision[]>;
}

/**
 * A prompt that is read part by part (Finch): each part comes with the prompt's last tokens behind it, the layers shrink, and only then the next part is
 * read on top of what is left.
 */
export interface Segments {
  /** Tokens of a part, at most; the last may have fewer. */
  readonly length: number;
  /** Last tokens of the prompt that stand behind every part. `select`, called for each part and layer, keeps none of them; they are read once more at the end. */
  readonly question: number;
}

/** A policy at work on one sequence. All state of the sequence lives here and nowhere else. */
export interface PolicyRun extends Disposable {
  readonly observe: Observation;
  /** Entries each layer may keep, fixed before layer 0 runs. */
  readonly budgets: readonly LayerBudget[];
  /** Survivors of one layer, decided before the next layer runs. Never called where the budget covers the prompt. */
  select(view: LayerView): Decision | Promise<Decision>;
  /** Earlier layers to shrink again now that `layer` is done (cascades). `earlier` is such a layer as it is now, with nothing observed. */
  revise?(layer: number, earlier: (layer: number) => LayerView): readonly Revision[] | Promise<readonly Revision[]>;
  readonly decode?: DecodeRule;
  readonly compensation?: Compensation;
  readonly retrieval?: Retrieval;
  /** Entries (over all layers and heads) and bytes that the run holds in place of the cache: part of what a session says that it holds. */
  held?(): { readonly entries: number; readonly bytes: number };
  /** Original positions of what the run holds of a layer, i32 [kvHeads, entries] ascending, where the cache keeps positions. */
  heldPositions?(layer: number): Tensor | undefined;
  /** Decides after a second reading; `select` then leaves the layers whole. */
  readonly reread?: Reread;
  /** The prompt is read part by part; `view.seen` counts the parts so far and the question behind them. */
  readonly segments?: Segments;
  /** 'kept': in each layer the next token's position is the number of entries that it holds (re-rotation). Default 'seen': the true position. */
  readonly nextPosition?: 'seen' | 'kept';
  /** A second run with a copy of this one's state, for a forked sequence. Needed only with `decode`, `compensation` or `retrieval`. */
  fork?(): PolicyRun;
  /** Forgets the last tokens of the text. Needed only with `decode` or `retrieval`: without it such a session takes back nothing that it was fed. */
  rollback?(tokens: number): void;
  /** What a saved session must hold of this run. Needed only with `decode`, `compensation` or `retrieval`. */
  readonly memory?: RunMemory;
  /** Frees what the run holds. */
  dispose(): void;
}

/** A value that a policy parameter may have. */
export type ParameterValue = number | string | boolean | EvictionPolicy | readonly number[];

/**
 * What a policy may do besides choosing each layer's survivors once: shrink earlier layers again (`revise`), evict while decoding, compensate,
 * retrieve, read twice, read part by part, give survivors new positions (`nextPosition`), add evicted entries to them (`keys`, `values`).
 */
export type PolicyTrait = 'cascade' | 'decode' | 'compensation' | 'retrieval' | 'reread' | 'segments' | 'renumbering' | 'merging';

/** An eviction policy: an immutable description that starts a run per sequence. */
export interface EvictionPolicy {
  /** Name in expressions: `snapkv`. */
  readonly name: string;
  /** All parameters with their values, defaults filled in; wrapped policies are values too. */
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  /** Whether heads of a layer may keep different numbers of entries. */
  readonly ragged: boolean;
  /** What its runs may do besides choosing survivors: wrappers refuse what they cannot go along with. Absent: nothing. */
  readonly traits?: readonly PolicyTrait[];
  /** True where the parameters alone say what is kept: such a policy may come without a budget. `definePolicy` says it of a wrapper whose wrapped policies all do. */
  readonly ignoresBudget?: boolean;
  /** Starts a run for one sequence, before its prompt is read. @throws KvsiftError `budget_invalid` where the budget cannot hold what the policy protects */
  begin(context: SequenceContext): PolicyRun;
}
