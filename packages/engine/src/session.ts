import type { CacheStatistics, KvCache } from '@kvsift/cache';
import type { PolicyRun } from '@kvsift/policy';
import { type KvStorage, KvsiftError, type Tensor } from '@kvsift/tensor';
import { throwIfAborted } from './abort.js';
import { Answer, type Chunk, type Drawn, type GenerateOptions } from './answer.js';
import { beginPolicy, defaultKvType, makeCache } from './begin.js';
import { checkSessionOptions } from './check-options.js';
import { following } from './following.js';
import { Frontier } from './frontier.js';
import { Gate } from './gate.js';
import { withHeld } from './held.js';
import { checkId, checkLength, encode } from './input.js';
import { modelShape } from './layer-view.js';
import { LogitsRow } from './logits-row.js';
import { partFromOrigin } from './own-state.js';
import type { Reading } from './prefill.js';
import { reread } from './reread.js';
import { restoreSaved } from './restored.js';
import { restoring } from './restoring.js';
import { readRetained } from './retained.js';
import { demandRollback, forkRun, memoryOf } from './run-at-work.js';
import { type Drawing, drawTokens, samplingRule } from './sampling.js';
import { readPrompt } from './segments.js';
import { DecodeWindow, type Follower, type Sequence } from './sequence.js';
import { readSessionFile, sessionIdentity, writeSessionFile } from './session-file.js';
import type { PrefillInput, SessionModel, SessionOptions } from './session-options.js';
import { Stepper } from './stepper.js';
import { withWhatFits } from './what-fits.js';

/** One conversation: a cache, what a policy did to it, and the position in the text. */
export class Session implements Disposable {
  readonly #storage: KvStorage;
  #cache: KvCache;
  #run: PolicyRun | undefined;
  #window: DecodeWindow | undefined;
  readonly #stepper: Stepper;
  #ropeLength = 0;
  /** Tokens of the first prompt, which the policy begins with. */
  #promptLength = 0;
  /** @internal Where it goes on; a batch starts steps there. */
  readonly frontier = new Frontier();
  #generated = 0;
  readonly #gate = new Gate('this session', () => this.#release());

  constructor(
    private readonly model: SessionModel,
    readonly options: SessionOptions = {},
  ) {
    checkSessionOptions(options);
    const { backend } = model.decoder;
    this.#storage = { backend, dtype: options.kvType ?? defaultKvType(backend) };
    this.#cache = makeCache(model, this.#storage, options);
    this.#stepper = new Stepper(model.decoder, () => this.#sequence());
  }

  /** Tokens seen, evicted ones included. */
  get length(): number {
    return this.#cache.seen + this.frontier.beyond;
  }

  /** What the cache holds, and the policy in its place. */
  statistics(): CacheStatistics {
    this.#withdraw();
    return withHeld(this.#cache.statistics(), this.#run);
  }

  /** Cache of this session, for tools that look inside. */
  get cache(): KvCache {
    this.#withdraw();
    return this.#cache;
  }

  /**
   * Reads a prompt. The first call evicts what the policy does not keep; later calls append (a second turn, a question about a compressed text).
   * @throws KvsiftError `context_length_exceeded`, `aborted`, `budget_invalid`
   */
  async prefill(input: string | readonly number[] | Int32Array, options: PrefillInput = {}): Promise<void> {
    const { decoder } = this.model;
    await this.read(input, options, (branch, ids, rest) => readPrompt(decoder, branch, ids, rest));
  }

  /** @internal `prefill` with the reading itself left to `work`: how several sessions share one. */
  async read(input: string | readonly number[] | Int32Array, options: PrefillInput, work: Reading): Promise<void> {
    const ids = encode(this.model, input, options.addSpecial ?? this.length === 0);
    const signal = AbortSignal.any([this.#gate.signal, ...(options.signal ? [options.signal] : [])]);
    await this.#gate.run(async () => {
      this.#withdraw();
      const all = Int32Array.from([...this.frontier.unfed, ...ids]);
      if (all.length === 0) throw new KvsiftError('invalid_argument', 'the prompt is empty: it needs at least one token');
      checkLength(this.model, this.#cache.nextPosition + all.length);
      const first = this.#cache.seen === 0;
      if (first) this.#begin(all.length);
      this.#stepper.stop();
      const { decoder } = this.model;
      const before = decoder.backend.memory().bytes;
      this.#ropeLength = Math.max(this.#ropeLength, this.#cache.nextPosition + all.length);
      const follower = this.#run && this.#window && { run: this.#run, window: this.#window };
      const compensation = first ? undefined : this.#run?.compensation;
      const circumstances = { ...this.#identity, signal, expectedLength: this.#ropeLength };
      const branch = {
        cache: this.#cache,
        ...this.#identity,
        ...(first && this.#run && { run: this.#run }),
        ...(follower && { follower }),
      };
      const reading = async () => {
        const rest = { ...options, ...circumstances, ...(compensation && { compensation }) };
        const hidden = await work(branch, all, rest).catch((error: unknown) => {
          throw first
            ? withWhatFits(error, { model: decoder, storage: this.#storage, options: this.options, context: all.length, before })
            : error;
        });
        const again = first ? this.#run?.reread : undefined;
        if (again === undefined) return hidden;
        using owned = hidden;
        await reread(decoder, this.#cache, all, again, (text) => encode(this.model, text, false), circumstances);
        return decoder.backend.reshape(owned, owned.shape);
      };
      using last = await following(decoder.backend, first ? undefined : follower, this.#goBack, () =>
        restoring(this.#cache, first ? () => this.#forgetPolicy() : undefined, reading),
      );
      const logits = LogitsRow.of(decoder.logits(last));
      this.frontier.reach(logits);
      await logits.tensor.read();
    });
  }

  /** Logits of the next token, f32 [vocabulary]. */
  async logits(): Promise<Float32Array> {
    return this.#gate.run(() => this.#readLogits());
  }

  /** Appends one token as it is and returns the logits that follow it: teacher forcing. */
  async force(id: number): Promise<Float32Array> {
    return this.#gate.run(async () => {
      await this.#feed();
      this.frontier.unfed.push(checkId(this.model, id));
      return this.#readLogits();
    });
  }

  async #readLogits(): Promise<Float32Array> {
    await this.#feed();
    return (await this.#ready().tensor.read()) as Float32Array;
  }

  /** Generates an answer, token by token. Leaving the loop stops the work; the session stays usable. */
  async *generate(options: GenerateOptions = {}): AsyncGenerator<Chunk, void, undefined> {
    const answer = this.startAnswer(options);
    try {
      for (;;) {
        const chunk = await this.#gate.run(async () => {
          await this.#feed(options.signal);
          return this.#draw(answer);
        });
        if (chunk.finishReason !== undefined) this.#withdraw();
        yield chunk;
        if (chunk.finishReason !== undefined) return;
      }
    } finally {
      this.#withdraw();
    }
  }

  /** @internal An answer that `accept` fills: how a batch drives its sessions. */
  startAnswer(options: GenerateOptions): Answer {
    return new Answer(options, this.model.tokenizer, this.model.eosIds);
  }

  /** @internal From what and how an answer's next token is drawn, and what it will be told with. */
  drawing(answer: Answer): Drawing {
    this.#withdraw();
    return {
      logits: this.#ready(),
      rule: samplingRule(answer.options, this.options.sequence ?? 0, this.#generated),
      room: this.#room,
      statistics: this.statistics(),
      goesOn: !this.#cache.numberedAnew && !answer.ending && this.#room >= 1 && this.frontier.unfed.length === 0,
    };
  }

  /** @internal Takes a token that was drawn. It is fed to the model when the next one is needed. */
  accept(answer: Answer, drawn: Drawn, { room, statistics }: Drawing): Chunk {
    this.#generated += 1;
    const chunk = answer.accept(drawn, room, statistics);
    if (chunk.finishReason !== 'eos') this.frontier.unfed.push(drawn.id);
    return chunk;
  }

  async #draw(answer: Answer): Promise<Chunk> {
    const drawing = this.drawing(answer);
    const { logits, rule, goesOn } = drawing;
    const { backend } = this.model.decoder;
    const ahead = (id: Tensor) => this.frontier.runAhead(this.#stepper.runAhead(id, logits));
    const [drawn] = await drawTokens(backend, logits.tensor, [rule], goesOn ? ahead : undefined);
    if (drawn === undefined) throw new Error('no row');
    return this.accept(answer, drawn, drawing);
  }

  /** What random choices depend on. */
  get #identity() {
    return { seed: this.options.seed ?? 0, sequence: this.options.sequence ?? 0 };
  }

  /** Tokens that the context can take after the next one. */
  get #room(): number {
    return this.model.contextLength - this.#cache.nextPosition - 1;
  }

  /** @internal Runs `work` with this session's sequence and the token it has not fed yet; `work` returns the logits that follow, owned by the session. */
  async step(work: (sequence: Sequence, id: number) => Promise<LogitsRow>): Promise<void> {
    this.#withdraw();
    const [id] = this.frontier.unfed;
    if (id === undefined) return;
    checkLength(this.model, this.#cache.nextPosition + 1);
    this.#stepper.stop();
    this.frontier.fed(await work(this.#sequence(), id));
  }

  /** @internal Leaves a batch: its step that runs ahead is taken back, its logits are this session's own. */
  leave(): void {
    this.#withdraw();
    void this.frontier.logits?.tensor;
  }

  /**
   * A second session with the same past; memory is shared until one of them changes.
   * @throws KvsiftError `unsupported` where the policy evicts while decoding and cannot copy its state; `invalid_argument` during another call
   */
  fork(): Session {
    this.#gate.check();
    this.#withdraw();
    const twin = new Session(this.model, this.options);
    twin.#cache = this.#cache.fork();
    twin.#run = forkRun(this.#run);
    twin.#window = this.#window?.fork(this.model.decoder.backend);
    partFromOrigin(this.model.decoder.backend, twin.#run, twin.#window);
    twin.#ropeLength = this.#ropeLength;
    twin.#promptLength = this.#promptLength;
    twin.#generated = this.#generated;
    // A copy: the next step of this session writes where its logits lie.
    const { logits, unfed } = this.frontier;
    if (logits !== undefined) twin.frontier.reach(LogitsRow.of(this.model.decoder.backend.slice(logits.tensor, 0, 0, 1)));
    twin.frontier.unfed = [...unfed];
    return twin;
  }

  /**
   * Takes back the last tokens. Generation can go on once something was appended.
   * @throws KvsiftError `invalid_argument` where an eviction lies in between; `unsupported` where the policy took the tokens into account while decoding
   */
  rollback(tokens: number): void {
    this.#gate.check();
    if (!Number.isInteger(tokens) || tokens < 0)
      throw new KvsiftError('invalid_argument', `expected a whole number of tokens to take back, at least 0, got ${tokens}`);
    this.#withdraw();
    const { unfed } = this.frontier;
    const fed = Math.max(0, tokens - unfed.length);
    if (fed > 0) {
      demandRollback(this.#run);
      this.#cache.rollback(fed);
      this.#run?.rollback?.(fed);
      this.frontier.forget();
    }
    unfed.length -= tokens - fed;
  }

  /**
   * Writes the session to a file that `LanguageModel.restore` reads.
   * @throws KvsiftError `unsupported` where the policy works on while decoding and cannot tell its state, or where the cache holds what is infinite or no
   * number; `file_unreadable`
   */
  async save(path: string): Promise<void> {
    await this.#gate.run(async () => {
      this.#withdraw();
      if (this.#cache.seen === 0) throw new KvsiftError('invalid_argument', 'nothing to save: call prefill first');
      const run = memoryOf(this.#run, this.#window)?.save();
      const progress = {
        seen: this.#cache.seen,
        nextPosition: this.#cache.nextPosition,
        ropeLength: this.#ropeLength,
        unfed: this.frontier.unfed,
        generated: this.#generated,
        promptLength: this.#promptLength,
        run: run?.numbers ?? null,
      };
      const { logits: row, unfed } = this.frontier;
      const logits = unfed.length === 0 ? ((await row?.tensor.read()) as Float32Array | undefined) : undefined;
      await writeSessionFile(path, await this.#owner(), progress, this.#cache, logits, run?.tensors ?? {});
    });
  }

  /** @internal Continues a saved session; see `LanguageModel.restore`. */
  async restore(path: string): Promise<void> {
    await this.#gate.run(async () => {
      const { decoder } = this.model;
      const saved = await readSessionFile(path, await this.#owner(), this.#cache, decoder.config.vocabulary);
      const shape = modelShape(decoder.config, this.#storage, this.options.trackPositions);
      await restoreSaved(path, saved, this.#cache, this.model, shape, (promptLength) => {
        this.#begin(promptLength);
        return { run: this.#run, memory: memoryOf(this.#run, this.#window) };
      });
      const { progress, logits } = saved;
      this.#ropeLength = progress.ropeLength;
      this.#generated = progress.generated;
      if (logits) this.frontier.reach(LogitsRow.of(decoder.backend.upload(logits, 'f32', [1, logits.length])));
      this.frontier.unfed = progress.unfed;
    });
  }

  #owner = () => sessionIdentity(this.model, this.options.policy, this.#storage.dtype);

  /**
   * Positions in the text, of the prompt's tokens and of those decoded since, that each KV head of a layer still holds, ascending. Needs `trackPositions`,
   * or a layer with a sliding window: there a policy that renumbers gives entries their new positions.
   */
  async retained(layer: number): Promise<Int32Array[]> {
    this.#gate.demandOpen();
    this.#withdraw();
    return readRetained(this.#cache.layer(layer).view, this.#run?.heldPositions?.(layer));
  }

  /** Ends the session; a call in progress rejects with `disposed`. */
  dispose(): void {
    this.#gate.close();
  }

  #release(): void {
    this.#stepper.stop();
    this.frontier.dispose();
    this.#forgetPolicy();
    this.#cache.dispose();
  }

  /** After a reading that failed: the policy as it was before. One that cannot be copied has noted half of what was read: the session ends. */
  readonly #goBack = (kept: Follower | undefined, error: unknown): void => {
    if (kept === undefined) this.#gate.close(error);
    this.#forgetPolicy();
    this.#run = kept?.run;
    this.#window = kept?.window;
  };

  #forgetPolicy(): void {
    this.#window?.[Symbol.dispose]();
    this.#window = undefined;
    this.#run?.dispose();
    this.#run = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Starts the policy for a prompt of this length. */
  #begin(promptLength: number): void {
    this.#promptLength = promptLength;
    this.#run = beginPolicy(this.model.decoder.config, this.#storage, this.options, promptLength);
    const decode = this.#run?.decode;
    if (decode !== undefined) this.#window = new DecodeWindow(decode.observe);
  }

  /** Runs sampled tokens through the model, so that the logits are those behind the last of them. */
  async #feed(signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal, 'generation');
    // In a batch that has drawn the token and not told this session yet.
    if (this.frontier.unfed.length === 0) this.#withdraw();
    this.frontier.catchUp();
    for (let [id] = this.frontier.unfed; id !== undefined; [id] = this.frontier.unfed) {
      checkLength(this.model, this.#cache.nextPosition + 1);
      const logits = await this.#stepper.step(id).catch((error: unknown) => {
        // A rule has evicted from some layers and not from others.
        if (this.#run?.decode !== undefined) this.#gate.close(error);
        throw error;
      });
      this.frontier.fed(logits);
    }
    throwIfAborted(signal, 'generation');
  }

  /** Takes the step back that runs ahead: as if its token had been drawn only. */
  #withdraw(): void {
    if (this.frontier.withdraw()) this.#cache.rollback(1);
  }

  #sequence(): Sequence {
    return {
      cache: this.#cache,
      ...(this.#run && { run: this.#run }),
      ...(this.#window && { window: this.#window }),
      ...this.#identity,
      ropeLength: this.#ropeLength,
    };
  }

  #ready(): LogitsRow {
    this.#gate.demandOpen();
    if (this.frontier.logits !== undefined) return this.frontier.logits;
    throw new KvsiftError('invalid_argument', 'nothing to continue: call prefill first');
  }
}
