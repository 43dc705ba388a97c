import type { DecoderModel } from '@kvsift/models';
import { type DecodeRule, joinMemories, type LayerView, noMemory, type PolicyRun, type RunMemory } from '@kvsift/policy';
import { type Backend, KvsiftError } from '@kvsift/tensor';
import { applyDecision, describeLayer } from './layer-view.js';
import { describeState, type OwnState, ownState } from './own-state.js';
import { type Scope, scoped } from './scope.js';
import type { Sequence } from './sequence.js';
import type { StepRows } from './step-rows.js';

/** A sequence that a decode rule shrinks. */
interface Ruled {
  readonly sequence: Sequence;
  readonly run: PolicyRun;
  readonly rule: DecodeRule;
  /** Of the step. */
  readonly row: number;
}

/** The rules' part of a recording of a step. */
export interface RecordedRules extends Disposable {
  /** What rules do with a layer behind its attention, to which a step has appended. */
  shrink(layer: number, rows: StepRows): void;
  /** Behind the last layer: the next run begins where this one ends. */
  settle(): void;
  /** Rejects where a layer could not be shrunk. */
  sound(): Promise<void>;
}

/**
 * Lets the sequences' decode rules shrink the layers. Rules that do the same in each step are recorded with it once each step evicts what it appends.
 */
export class DecodeRules {
  readonly #ruled: readonly Ruled[];
  /** How things stood before the last step that was not recorded with its rules. */
  #before: string | undefined;

  constructor(
    private readonly model: DecoderModel,
    sequences: readonly Sequence[],
  ) {
    this.#ruled = sequences.flatMap((sequence, row) => {
      const { run } = sequence;
      return run?.decode === undefined ? [] : [{ sequence, run, rule: run.decode, row }];
    });
  }

  /** Whether there is any rule. */
  get present(): boolean {
    return this.#ruled.length > 0;
  }

  /** Entries of each layer. */
  get lengths(): string {
    return this.#ruled
      .map(({ sequence }) => this.model.layers.map((_, layer) => sequence.cache.layer(layer).view.maxLength))
      .join();
  }

  /**
   * Before a step that is not recorded with its rules: whether it may be, as it will leave everything as large as the one before has.
   * @param moved whether caches have moved to other memory since
   */
  steady(moved: boolean): boolean {
    const standing = this.#repeats ? [this.lengths, ...this.#memories().map(describeState)].join() : undefined;
    const steady = !moved && standing !== undefined && standing === this.#before;
    this.#before = standing;
    return steady;
  }

  /** Lets each sequence's rule shrink a layer. */
  async shrink(layer: number, rows: StepRows): Promise<void> {
    for (const ruled of this.#ruled) {
      using scope = scoped(this.#at(layer));
      const view = this.#view(layer, rows, ruled, scope);
      if (view === undefined) continue;
      await applyDecision(ruled.sequence.cache.layer(layer), await ruled.rule.step(view), layer, true);
    }
  }

  /** Begins a recording. */
  record(): RecordedRules {
    const states: OwnState[] = [];
    const shrunk: Promise<void>[] = [];
    const dispose = () => {
      for (const state of states) state[Symbol.dispose]();
    };
    try {
      for (const memory of this.#memories()) states.push(ownState(this.model.backend, memory));
    } catch (error) {
      dispose();
      throw error;
    }
    return {
      shrink: (layer, rows) => {
        for (const ruled of this.#ruled) {
          // Whoever records waits for all of them at once.
          const work = this.#shrinkAtOnce(layer, rows, ruled);
          work?.catch(() => {});
          if (work !== undefined) shrunk.push(work);
        }
      },
      settle() {
        for (const state of states) state.settle();
      },
      async sound() {
        await Promise.all(shrunk);
      },
      [Symbol.dispose]: dispose,
    };
  }

  #shrinkAtOnce(layer: number, rows: StepRows, ruled: Ruled): Promise<void> | undefined {
    const cache = ruled.sequence.cache.layer(layer);
    cache.advance(1);
    using scope = scoped(this.#at(layer));
    const view = this.#view(layer, rows, ruled, scope);
    if (view === undefined) return undefined;
    const decision = ruled.rule.step(view);
    if (!(decision instanceof Promise)) return applyDecision(cache, decision, layer, true);
    decision.catch(() => {});
    throw new KvsiftError('policy_violation', `layer ${layer}: the policy says that its steps repeat, but waits in one`, {
      layer,
    });
  }

  /** What a rule sees of a layer; undefined where the layer has no budget. */
  #view(layer: number, rows: StepRows, { sequence, run, row }: Ruled, scope: Scope): LayerView | undefined {
    const { cache, window } = sequence;
    const budget = run.budgets[layer];
    if (budget === undefined) return undefined;
    window?.push(this.#at(layer), layer, (kind) => scope.backend.slice(rows[kind], 0, row, row + 1));
    return {
      ...describeLayer(this.model, cache, layer, sequence.ropeLength, scope, sequence),
      budget,
      seen: cache.seen + 1,
      ...window?.rows(layer),
    };
  }

  /** Whether each rule says that it does the same behind each step, over heads of one length, and what it has gathered is known. */
  get #repeats(): boolean {
    return this.#ruled.every(
      ({ sequence, run, rule }) =>
        rule.repeats === true &&
        run.memory !== undefined &&
        this.model.layers.every((_, layer) => sequence.cache.layer(layer).view.uniform),
    );
  }

  /** What each run has gathered, and the engine for it. */
  #memories(): RunMemory[] {
    return this.#ruled.map(({ sequence, run }) =>
      joinMemories({ policy: run.memory ?? noMemory, window: sequence.window ?? noMemory }),
    );
  }

  /** Where a layer lies. */
  #at(layer: number): Backend {
    return this.model.layers[layer]?.backend ?? this.model.backend;
  }
}
