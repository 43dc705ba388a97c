import type { KvCache, LayerCache } from '@kvsift/cache';
import type { DecoderLayer, DecoderModel } from '@kvsift/models';
import { type Compensation, type LayerView, lastRows, narrowView, type Observation, type PolicyRun } from '@kvsift/policy';
import type { Backend, Tensor } from '@kvsift/tensor';
import { applyDecision, attentionShape, describeLayer } from './layer-view.js';
import { RowCollector } from './observed-rows.js';
import type { Branch } from './prefill.js';
import { type Scope, scoped } from './scope.js';

/** Positions of a chunk's rows. */
export interface RowPositions {
  /** By which queries and keys are turned, and which sliding windows compare. */
  readonly turns: Tensor;
  /** In the text: what a layer without a window remembers. */
  readonly text: Tensor;
}

/** Whether what lies outside a sliding window is lost to later tokens: a second reading, and renumbered positions, see it; parts are no whole prompt. */
export function hidesUnreachable({ reread, segments, nextPosition }: PolicyRun): boolean {
  return (reread ?? segments) === undefined && nextPosition !== 'kept';
}

/** One layer reading the chunks of one sequence. */
export class LayerPass implements Disposable {
  readonly #backend: Backend;
  readonly #queries: RowCollector;
  readonly #queryLogSums: RowCollector;
  readonly #queriesBefore: RowCollector;
  readonly #keysBefore: RowCollector;
  readonly #normed: RowCollector;
  #columnSums: Tensor | undefined;

  constructor(
    private readonly model: DecoderModel,
    private readonly layer: DecoderLayer,
    private readonly cache: KvCache,
    private readonly index: number,
    private readonly observe: Observation,
    private readonly count: number,
    private readonly length: number,
    private readonly compensation: Compensation | undefined,
    /** Entries per head for which there is to be room behind the prompt. */
    private readonly room: number,
  ) {
    this.#backend = layer.backend;
    this.#queries = new RowCollector(layer.backend, observe.queries, count);
    this.#queryLogSums = new RowCollector(layer.backend, observe.queries, count);
    this.#queriesBefore = new RowCollector(layer.backend, observe.queriesBeforeRotation, count);
    this.#keysBefore = new RowCollector(layer.backend, observe.keysBeforeRotation ? 'all' : 'none', count);
    this.#normed = new RowCollector(layer.backend, observe.hidden, count);
    if (observe.columnSums) {
      const { queryHeads } = model.config;
      this.#columnSums = layer.backend.upload(new Float32Array(queryHeads * count), 'f32', [queryHeads, count]);
    }
  }

  /** Appends the chunk's keys and values; returns the rows for the next layer, or an empty tensor where they are not `needed`. */
  chunk(hidden: Tensor, positions: RowPositions, start: number, needed: boolean): Tensor {
    using attended = this.#attend(hidden, positions, start, needed || this.#columnSums !== undefined);
    if (!needed || attended === undefined) return this.#backend.empty('f32', [0, this.model.config.hidden]);
    return this.layer.finish(hidden, attended);
  }

  /** Appends the chunk's keys and values; returns its attention where that is `wanted`. */
  #attend(hidden: Tensor, { turns, text }: RowPositions, start: number, wanted: boolean): Tensor | undefined {
    const backend = this.#backend;
    const rows = turns.shape[0] ?? 0;
    const rope = this.model.rope(this.layer, this.length);
    using projection = this.layer.project(hidden, turns, rope);
    const storage = this.cache.layer(this.index, this.count + this.room);
    // The whole prompt's room at once: chunks never make it grow.
    const view = storage.reserve(start === 0 ? this.count : rows);
    const { window } = attentionShape(this.model.config, this.index);
    backend.kvAppend([{ view, rows }], projection.k, projection.v, window === undefined ? text : turns);
    storage.advance(rows);
    this.#queries.add(projection.q, start);
    this.#queriesBefore.add(projection.qBeforeRotation, start);
    this.#keysBefore.add(projection.kBeforeRotation, start);
    this.#normed.add(projection.normed, start);
    if (!wanted) return undefined;
    const observed = this.#queryLogSums.from(start, rows) < rows;
    const { output, logSumExp } = backend.attention(projection.q, [{ view: storage.view, rows }], {
      ...attentionShape(this.model.config, this.index),
      ...(storage.view.positions && { positions: turns }),
      ...((this.compensation || observed) && { logSumExp: true }),
      ...(this.#columnSums && { columnSums: this.#columnSums }),
    });
    using known = logSumExp;
    if (known === undefined) return output;
    this.#queryLogSums.add(known, start);
    if (this.compensation === undefined) return output;
    using scope = scoped(backend);
    const corrected = this.compensation.correct(this.index, scope.backend, projection.q, output, known);
    if (corrected === output) return output;
    output.dispose();
    return scope.keep(corrected);
  }

  /** Lets each policy choose and releases what it does not keep. */
  async evict(readers: readonly Branch[]): Promise<void> {
    using shared = scoped(this.#backend);
    let observed: Partial<LayerView> | undefined;
    for (const reader of readers) {
      const { cache, run, follower } = reader;
      const budget = (run ?? follower?.run)?.budgets[this.index];
      const storage = cache.layer(this.index);
      const evicts = run !== undefined && budget !== undefined && budget.total < storage.entries;
      if (!evicts && follower === undefined) continue;
      observed ??= this.#observed(shared.backend);
      const rows = observed;
      follower?.window.push(this.#backend, this.index, (kind) => rows[kind]);
      if (budget === undefined) continue;
      using scope = scoped(this.#backend);
      const seen = evicts && hidesUnreachable(run) ? await this.#forgetUnreachable(storage, observed, scope) : observed;
      if (evicts && budget.total >= storage.entries) continue;
      const whole: LayerView = {
        ...describeLayer(this.model, cache, this.index, this.length, scope, reader),
        budget,
        seen: cache.seen + this.count,
        ...seen,
      };
      if (run === undefined) await follower?.run.decode?.read?.(whole);
      if (run === undefined || !evicts) continue;
      const view = narrowView(whole, run.observe, budget, scope.backend);
      await applyDecision(storage, await run.select(view), this.index);
      const earlier = (layer: number): LayerView => ({
        ...describeLayer(this.model, cache, layer, this.length, scope, reader),
        budget: run.budgets[layer] ?? budget,
        seen: whole.seen,
      });
      for (const { layer, decision } of (await run.revise?.(this.index, earlier)) ?? [])
        await applyDecision(cache.layer(layer), decision, layer);
    }
  }

  /** Drops what lies outside the layer's sliding window: no later token sees it, so no policy shall spend its budget on it. */
  async #forgetUnreachable(storage: LayerCache, observed: Partial<LayerView>, scope: Scope): Promise<Partial<LayerView>> {
    const { count } = this;
    const { kvHeads, layers } = this.model.config;
    const reach = Math.min(count, layers[this.index]?.window ?? count);
    if (reach === count) return observed;
    const slots = Int32Array.from({ length: kvHeads * reach }, (_, entry) => count - reach + (entry % reach));
    const offsets = Int32Array.from({ length: kvHeads + 1 }, (_, head) => head * reach);
    await storage.compact(scope.backend.selection(slots, offsets));
    const { columnSums, keysBeforeRotation, queries, queryLogSums, ...rest } = observed;
    // As many rows as entries at most: attention statistics end with the last entry.
    const lastOf = (rows: Tensor) => lastRows(scope.backend, rows, reach);
    return {
      ...rest,
      ...(queries && { queries: lastOf(queries) }),
      ...(queryLogSums && { queryLogSums: lastOf(queryLogSums) }),
      ...(columnSums && { columnSums: scope.backend.slice(columnSums, 1, count - reach, count) }),
      ...(keysBeforeRotation && { keysBeforeRotation: scope.backend.slice(keysBeforeRotation, 0, count - reach, count) }),
    };
  }

  /** The collected rows; released with the scope because they pass through it. */
  #observed(backend: Backend): Partial<LayerView> {
    const pass = (name: keyof LayerView, tensor: Tensor | undefined): Partial<LayerView> => {
      if (tensor === undefined) return {};
      const alias = backend.reshape(tensor, tensor.shape);
      tensor.dispose();
      return { [name]: alias };
    };
    return {
      ...pass('queries', this.#queries.take()),
      // Not all of them in the last layer, which attends with the last chunk only.
      ...pass('queryLogSums', this.#queryLogSums.take()),
      ...pass('queriesBeforeRotation', this.#queriesBefore.take()),
      ...pass('keysBeforeRotation', this.#keysBefore.take()),
      ...pass('hidden', this.#normed.take()),
      ...pass('columnSums', this.#columnSums),
      ...(this.observe.outputProjection && { outputProjection: this.layer.outputProjection }),
    };
  }

  [Symbol.dispose](): void {
    for (const collector of [this.#queries, this.#queryLogSums, this.#queriesBefore, this.#keysBefore, this.#normed])
      collector[Symbol.dispose]();
    this.#columnSums?.dispose();
  }
}
