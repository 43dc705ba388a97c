import type { DecoderLayer, DecoderModel, Projection } from '@kvsift/models';
import { type AttentionSegment, type Backend, KvsiftError, type Program, type Tensor } from '@kvsift/tensor';
import { DecodeRules, type RecordedRules } from './decode-rules.js';
import { attentionShape } from './layer-view.js';
import { retrieve } from './retrieve.js';
import { scoped } from './scope.js';
import type { Sequence } from './sequence.js';
import { handlesOf, type StepRows, stepRows } from './step-rows.js';

/** One step, to be run again. */
interface Recorded extends Disposable {
  readonly program: Program;
  readonly logits: Tensor;
  /** Where the caches lay. */
  readonly memory: readonly Tensor[];
  /** By layer, where a decode rule follows the step. */
  readonly rows: readonly StepRows[];
  /** Entries of each layer before each step, where decode rules are part of it. */
  readonly lengths?: string;
}

/**
 * Decodes one token per sequence and step: all sequences in one pass, each over its own cache. Where nothing but the caches changes in it, the step is
 * recorded once and replayed; decode rules follow it, layer by layer, or are part of it.
 */
export class DecodeLoop implements Disposable {
  readonly #backend: Backend;
  readonly #rules: DecodeRules;
  #recorded: Recorded | undefined;
  readonly #ids: Tensor;
  /** In the text. */
  readonly #positions: Tensor;
  /** By layer, where some sequence's entries have other positions than the text. */
  readonly #turns: readonly Tensor[] | undefined;

  constructor(
    private readonly model: DecoderModel,
    private readonly sequences: readonly Sequence[],
  ) {
    this.#backend = model.backend;
    this.#rules = new DecodeRules(model, sequences);
    const ropes = new Set(
      sequences.map(({ ropeLength }) => model.layers.map((layer) => model.rope(layer, ropeLength).inverseFrequencies).at(0)),
    );
    if (ropes.size > 1) {
      throw new KvsiftError(
        'unsupported',
        'these sequences began with different rope tables (dynamic or longrope scaling) and cannot share a step',
      );
    }
    const numbers = () => this.#backend.upload(new Int32Array(sequences.length), 'i32', [sequences.length]);
    this.#ids = numbers();
    this.#positions = numbers();
    if (sequences.some(({ cache }) => cache.numberedAnew)) this.#turns = model.layers.map(numbers);
  }

  /** Feeds one id per sequence; returns logits f32 [sequences, vocabulary], valid until the next step. */
  async step(ids: Int32Array): Promise<Tensor> {
    this.#write(ids);
    const logits = this.replays ? await this.#replay() : await this.#compute();
    this.#count();
    return logits;
  }

  /** `step` with ids i32 [sequences] that the host need not know. Only where this loop `runsAhead`. */
  stepWith(ids: Tensor): Tensor {
    this.#write(ids);
    const { logits } = this.#run(this.#reserve());
    this.#count();
    return logits;
  }

  /** True where nothing but the caches changes from step to step, so that one recording serves all. */
  get replays(): boolean {
    return (
      this.#backend.record !== undefined &&
      this.sequences.every(({ run }) => {
        // A decode rule changes what is compensated for.
        const corrects = run?.decode !== undefined && run.compensation !== undefined;
        return run?.retrieval === undefined && !corrects;
      })
    );
  }

  /** True where a step needs nothing from the host, not even its token. */
  get runsAhead(): boolean {
    return this.replays && !this.#rules.present;
  }

  #write(ids: Int32Array | Tensor): void {
    this.#backend.write(this.#ids, ids);
    this.#backend.write(
      this.#positions,
      Int32Array.from(this.sequences, ({ cache }) => cache.seen),
    );
    for (const [layer, turns] of (this.#turns ?? []).entries()) {
      this.#backend.write(
        turns,
        Int32Array.from(this.sequences, ({ cache }) => cache.positionIn(layer)),
      );
    }
  }

  #count(): void {
    for (const { cache } of this.sequences) cache.advance(1);
  }

  #lastLogits: Tensor | undefined;

  [Symbol.dispose](): void {
    this.#recorded?.[Symbol.dispose]();
    this.#lastLogits?.dispose();
    this.#ids.dispose();
    this.#positions.dispose();
    for (const turns of this.#turns ?? []) turns.dispose();
  }

  async #compute(): Promise<Tensor> {
    const { model } = this;
    let hidden = model.embed(this.#ids);
    for (const [index, layer] of model.layers.entries()) {
      using before = hidden;
      using projection = this.#project(index, layer, before);
      this.#append(index, projection);
      using attended = this.#attend(index, projection);
      hidden = layer.finish(before, attended, true);
      if (this.#rules.present) await this.#rules.shrink(index, stepRows(projection));
    }
    using last = hidden;
    this.#lastLogits?.dispose();
    this.#lastLogits = model.logits(last, true);
    return this.#lastLogits;
  }

  /** Makes room in the caches; returns where they lie. */
  #reserve(): Tensor[] {
    return this.model.layers.flatMap((_, index) =>
      this.sequences.flatMap(({ cache }) => {
        const view = cache.layer(index).reserve(1);
        return [view.keys, view.blocks?.table ?? view.lengths];
      }),
    );
  }

  #moved(memory: readonly Tensor[]): boolean {
    return memory.some((tensor, index) => tensor !== this.#recorded?.memory[index]);
  }

  /** Runs the recorded step, and what decode rules do in it or behind it. */
  async #replay(): Promise<Tensor> {
    const memory = this.#reserve();
    if (this.#rules.present) await this.#recordRules(memory);
    const { logits, rows, lengths } = this.#run(memory);
    if (lengths === undefined) for (const [layer, kept] of rows.entries()) await this.#rules.shrink(layer, kept);
    return logits;
  }

  /** Has a step with its rules recorded where it will leave everything as it was, and one without them where it will not. */
  async #recordRules(memory: readonly Tensor[]): Promise<void> {
    const moved = this.#moved(memory);
    const recorded = this.#recorded?.lengths;
    if (!moved && recorded === this.#rules.lengths) return;
    if (recorded !== undefined) this.#forget();
    if (!this.#rules.steady(moved)) return;
    this.#forget();
    const rules = this.#rules.record();
    try {
      this.#recorded = this.#record(memory, rules);
      await rules.sound();
    } catch (error) {
      rules[Symbol.dispose]();
      throw error;
    }
  }

  /** Runs the recorded step; records it anew where a cache has moved to other memory. */
  #run(memory: readonly Tensor[]): Recorded {
    if (this.#recorded === undefined || this.#moved(memory)) {
      this.#forget();
      this.#recorded = this.#record(memory);
    }
    const recorded = this.#recorded;
    recorded.program.run();
    // Rules that are part of it have evicted as many entries as it has appended.
    const longer =
      recorded.lengths === undefined ? this.sequences : this.sequences.filter(({ run }) => run?.decode === undefined);
    for (const { cache } of longer) for (const index of this.model.layers.keys()) cache.layer(index).advance(1);
    return recorded;
  }

  #forget(): void {
    this.#recorded?.[Symbol.dispose]();
    this.#recorded = undefined;
  }

  /** @param rules those that are part of the step */
  #record(memory: readonly Tensor[], rules?: RecordedRules): Recorded {
    const { model } = this;
    const result: { logits?: Tensor } = {};
    let program: Program | undefined;
    const rows: StepRows[] = [];
    const { lengths } = this.#rules;
    const dispose = () => {
      program?.dispose();
      result.logits?.dispose();
      for (const kept of rows) for (const tensor of Object.values(kept)) tensor.dispose();
      rules?.[Symbol.dispose]();
    };
    try {
      program = this.#backend.record?.(() => {
        let hidden = model.embed(this.#ids);
        for (const [index, layer] of model.layers.entries()) {
          using before = hidden;
          using projection = this.#project(index, layer, before);
          // A replay reads the true lengths; the host's bound must hold until the memory moves.
          const segments = this.#segments(index).map(({ view, rows }, at) => ({
            rows,
            view: { ...view, maxLength: view.maxLength + (this.sequences[at]?.cache.layer(index).headRoom ?? 0), uniform: false },
          }));
          this.#backend.kvAppend(segments, projection.k, projection.v, this.#written(index));
          using attended = this.#attend(index, projection, segments);
          // While what attention has read is near.
          rules?.shrink(index, stepRows(projection));
          hidden = layer.finish(before, attended, true);
          if (rules === undefined && this.#rules.present) rows.push(handlesOf(this.#at(index), stepRows(projection)));
        }
        using last = hidden;
        result.logits = model.logits(last, true);
        rules?.settle();
      });
    } catch (error) {
      dispose();
      throw error;
    }
    if (program === undefined || result.logits === undefined)
      throw new KvsiftError('unsupported', 'this backend records no steps');
    return { program, logits: result.logits, memory, rows, ...(rules && { lengths }), [Symbol.dispose]: dispose };
  }

  /** Where a layer lies. */
  #at(layer: number): Backend {
    return this.model.layers[layer]?.backend ?? this.#backend;
  }

  #project(index: number, layer: DecoderLayer, hidden: Tensor): Projection {
    const [first] = this.sequences;
    return layer.project(hidden, this.#turnsOf(index), this.model.rope(layer, first?.ropeLength ?? 0), true);
  }

  /** Positions by which a layer turns queries and keys, and which its sliding window compares. */
  #turnsOf(layer: number): Tensor {
    return this.#turns?.[layer] ?? this.#positions;
  }

  /** Positions that a layer remembers: without a window those of the text. */
  #written(layer: number): Tensor {
    return attentionShape(this.model.config, layer).window === undefined ? this.#positions : this.#turnsOf(layer);
  }

  #segments(layer: number): AttentionSegment[] {
    return this.sequences.map(({ cache }) => ({ view: cache.layer(layer).view, rows: 1 }));
  }

  #attention(layer: number) {
    const shape = attentionShape(this.model.config, layer);
    return shape.window === undefined ? shape : { ...shape, positions: this.#turnsOf(layer) };
  }

  #append(layer: number, projection: Projection): void {
    const segments = this.sequences.map(({ cache }) => ({ view: cache.layer(layer).reserve(1), rows: 1 }));
    this.#backend.kvAppend(segments, projection.k, projection.v, this.#written(layer));
    for (const { cache } of this.sequences) cache.layer(layer).advance(1);
  }

  #attend(layer: number, projection: Projection, segments = this.#segments(layer)): Tensor {
    const backend = this.#at(layer);
    if (this.sequences.some(({ run }) => run?.retrieval !== undefined))
      return retrieve(this.model, this.sequences, layer, projection.q, this.#turnsOf(layer));
    const compensated = this.sequences.some(({ run }) => run?.compensation !== undefined);
    const { output, logSumExp } = backend.attention(projection.q, segments, {
      ...this.#attention(layer),
      ...(compensated && { logSumExp: true }),
    });
    if (logSumExp === undefined) return output;
    using scope = scoped(backend);
    using raw = output;
    using lse = logSumExp;
    const rows = this.sequences.map(({ run }, row) => {
      const own = scope.backend.slice(raw, 0, row, row + 1);
      if (run?.compensation === undefined) return own;
      const q = scope.backend.slice(projection.q, 0, row, row + 1);
      return run.compensation.correct(layer, scope.backend, q, own, scope.backend.slice(lse, 0, row, row + 1));
    });
    return backend.concat(rows, 0);
  }
}
