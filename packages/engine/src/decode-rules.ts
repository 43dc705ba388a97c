import type { DecoderModel } from '@kvsift/models';
import { type DecodeRule, joinMemories, type LayerView, noMemory, type PolicyRun, type RunMemory } from '@kvsift/policy';
import { type Backend, KvsiftError, type Program } from '@kvsift/tensor';
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

/** How things stand when rules begin: rows of which step, entries in which layer, and what the runs have gathered. */
interface Standing {
  readonly rows: readonly StepRows[];
  readonly lengths: string;
  readonly states: string;
}

/** What rules did behind a step, to be done again. */
interface Recorded extends Disposable {
  readonly program: Program;
  readonly standing: Standing;
}

/**
 * Lets the sequences' decode rules shrink the layers. Rules that do the same behind each step are recorded once each step evicts what it appends, and
 * replayed.
 */
export class DecodeRules implements Disposable {
  readonly #ruled: readonly Ruled[];
  #recorded: Recorded | undefined;
  #before: Standing | undefined;

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

  /** Behind a recorded step, which has appended its entries to all layers. @param rows by layer; others than before where the step has been recorded anew */
  async follow(rows: readonly StepRows[]): Promise<void> {
    const lengths = this.#lengths();
    const { standing } = this.#recorded ?? {};
    if (standing?.rows === rows && standing.lengths === lengths) {
      this.#recorded?.program.run();
      for (const { sequence } of this.#ruled) {
        for (const index of this.model.layers.keys()) {
          const layer = sequence.cache.layer(index);
          layer.evicted(layer.view.maxLength - 1);
        }
      }
      return;
    }
    this.#forget();
    const before = this.#before;
    this.#before = this.#repeats ? { rows, lengths, states: this.#memories().map(describeState).join() } : undefined;
    const steady = before?.rows === rows && before.lengths === lengths && before.states === this.#before?.states;
    if (steady) await this.#record(before);
    else for (const [layer, kept] of rows.entries()) await this.shrink(layer, kept);
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

  [Symbol.dispose](): void {
    this.#forget();
  }

  #forget(): void {
    this.#recorded?.[Symbol.dispose]();
    this.#recorded = undefined;
  }

  /** Records what the rules do, and does it. */
  async #record(standing: Standing): Promise<void> {
    const states: OwnState[] = [];
    const applied: Promise<void>[] = [];
    let program: Program | undefined;
    const dispose = () => {
      program?.dispose();
      for (const state of states) state[Symbol.dispose]();
    };
    try {
      for (const memory of this.#memories()) states.push(ownState(this.model.backend, memory));
      program = this.model.backend.record?.(() => {
        for (const [layer, rows] of standing.rows.entries()) applied.push(...this.#shrinkAtOnce(layer, rows));
        for (const state of states) state.settle();
      });
      await Promise.all(applied);
    } catch (error) {
      for (const work of applied) work.catch(() => {});
      dispose();
      throw error;
    }
    if (program === undefined) throw new KvsiftError('unsupported', 'this backend records no steps');
    this.#recorded = { program, standing, [Symbol.dispose]: dispose };
    program.run();
  }

  /** `shrink` by rules that do not wait; what it returns has been enqueued. */
  #shrinkAtOnce(layer: number, rows: StepRows): Promise<void>[] {
    return this.#ruled.flatMap((ruled) => {
      using scope = scoped(this.#at(layer));
      const view = this.#view(layer, rows, ruled, scope);
      if (view === undefined) return [];
      const decision = ruled.rule.step(view);
      if (decision instanceof Promise) {
        decision.catch(() => {});
        throw new KvsiftError('policy_violation', `layer ${layer}: the policy says that its steps repeat, but waits in one`, {
          layer,
        });
      }
      return [applyDecision(ruled.sequence.cache.layer(layer), decision, layer, true)];
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

  /** Entries of each layer. */
  #lengths(): string {
    return this.#ruled
      .map(({ sequence }) => this.model.layers.map((_, layer) => sequence.cache.layer(layer).view.maxLength))
      .join();
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
