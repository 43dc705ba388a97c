import type { CacheStatistics, KvCache } from '@kvsift/cache';
import { formatPolicy, joinMemories, noMemory, type PolicyRun, type RunMemory } from '@kvsift/policy';
import { type KvStorage, KvsiftError, type Tensor } from '@kvsift/tensor';
import { throwIfAborted } from './abort.js';
import { Answer, type Chunk, type Drawn, type GenerateOptions } from './answer.js';
import { beginPolicy, defaultKvType, makeCache } from './begin.js';
import { DecodeLoop } from './decode.js';
import { Frontier } from './frontier.js';
import { withHeld } from './held.js';
import { forkRun, idleRun, memoryOf } from './idle-run.js';
import { checkId, checkLength, encode } from './input.js';
import { LogitsRow } from './logits-row.js';
import { type Branch, type PrefillOptions, prefill } from './prefill.js';
import { reread } from './reread.js';
import { restoring } from './restoring.js';
import { readRetained } from './retained.js';
import { type Drawing, drawTokens, samplingRule } from './sampling.js';
import { DecodeWindow, type Sequence } from './sequence.js';
import { readSessionFile, type SessionIdentity, writeSessionFile } from './session-file.js';
import type { PrefillInput, SessionModel, SessionOptions } from './session-options.js';
import { withWhatFits } from './what-fits.js';

/** Reads ids into a branch's cache under its policy; returns the last hidden state, owned by the caller. */
export type Reading = (branch: Branch, ids: Int32Array, options: PrefillOptions) => Promise<Tensor>;

/** One conversation: a cache, what a policy did to it, and the position in the text. */
export class Session implements Disposable {
  readonly #storage: KvStorage;
  #cache: KvCache;
  #run: PolicyRun | undefined;
  #window: DecodeWindow | undefined;
  #loop: DecodeLoop | undefined;
  #ropeLength = 0;
  /** Tokens that the policy began with. */
  #promptLength = 0;
  /** @internal Where it goes on; a batch starts steps there. */
  readonly frontier = new Frontier();
  #generated = 0;
  #busy = false;

  constructor(
    private readonly model: SessionModel,
    readonly options: SessionOptions = {},
  ) {
    const { backend } = model.decoder;
    this.#storage = { backend, dtype: options.kvType ?? defaultKvType(backend) };
    this.#cache = makeCache(model, this.#storage, options);
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
    await this.read(input, options, ({ cache, run }, ids, rest) =>
      prefill(decoder, cache, ids, { ...rest, ...(run && { run }) }),
    );
  }

  /** @internal `prefill` with the reading itself left to `work`: how several sessions share one. */
  async read(input: string | readonly number[] | Int32Array, options: PrefillInput, work: Reading): Promise<void> {
    const ids = encode(this.model, input, options.addSpecial ?? this.length === 0);
    await this.#exclusive(async () => {
      this.#withdraw();
      const all = Int32Array.from([...this.frontier.unfed, ...ids]);
      if (all.length === 0) throw new KvsiftError('invalid_argument', 'the prompt is empty: it needs at least one token');
      checkLength(this.model, this.#cache.nextPosition + all.length);
      const first = this.#cache.seen === 0;
      if (first) this.#begin(all.length);
      this.#stopLoop();
      const { decoder } = this.model;
      const before = decoder.backend.memory().bytes;
      this.#ropeLength = Math.max(this.#ropeLength, this.#cache.nextPosition + all.length);
      const forget = () => {
        this.#run?.dispose();
        this.#run = undefined;
      };
      using last = await restoring(this.#cache, first ? forget : undefined, () =>
        work({ cache: this.#cache, ...(first && this.#run && { run: this.#run }) }, all, {
          ...options,
          ...(!first && this.#run?.compensation && { compensation: this.#run.compensation }),
          seed: this.options.seed ?? 0,
          sequence: this.options.sequence ?? 0,
          expectedLength: this.#ropeLength,
        }).catch((error: unknown) => {
          throw first
            ? withWhatFits(error, { model: decoder, storage: this.#storage, options: this.options, context: all.length, before })
            : error;
        }),
      );
      if (first && this.#run?.reread !== undefined) {
        await reread(decoder, this.#cache, all, this.#run.reread, (text) => encode(this.model, text, false), {
          seed: this.options.seed ?? 0,
          sequence: this.options.sequence ?? 0,
          expectedLength: this.#ropeLength,
          ...(options.signal && { signal: options.signal }),
        });
      }
      this.frontier.reach(LogitsRow.of(decoder.logits(last)));
      await decoder.backend.finish();
    });
  }

  /** Logits of the next token, f32 [vocabulary]. */
  async logits(): Promise<Float32Array> {
    return this.#exclusive(async () => {
      await this.#feed();
      return (await this.#ready().tensor.read()) as Float32Array;
    });
  }

  /** Appends one token as it is and returns the logits that follow it: teacher forcing. */
  async force(id: number): Promise<Float32Array> {
    return this.#exclusive(async () => {
      await this.#feed();
      this.frontier.unfed.push(checkId(this.model, id));
      await this.#feed();
      return (await this.#ready().tensor.read()) as Float32Array;
    });
  }

  /** Generates an answer, token by token. Leaving the loop stops the work; the session stays usable. */
  async *generate(options: GenerateOptions = {}): AsyncGenerator<Chunk, void, undefined> {
    const answer = this.startAnswer(options);
    try {
      for (;;) {
        const chunk = await this.#exclusive(async () => {
          await this.#feed(options.signal);
          return this.#draw(answer, (id) => this.#runAhead(id));
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
    const renumbers = this.#run?.nextPosition === 'kept';
    return {
      logits: this.#ready(),
      rule: samplingRule(answer.options, this.options.sequence ?? 0, this.#generated),
      room: this.#room,
      statistics: this.statistics(),
      goesOn: !renumbers && !answer.ending && this.#room >= 1 && this.frontier.unfed.length === 0,
    };
  }

  /** @internal Takes a token that was drawn. It is fed to the model when the next one is needed. */
  accept(answer: Answer, drawn: Drawn, { room, statistics }: Drawing): Chunk {
    this.#generated += 1;
    const chunk = answer.accept(drawn, room, statistics);
    if (chunk.finishReason !== 'eos') this.frontier.unfed.push(drawn.id);
    return chunk;
  }

  async #draw(answer: Answer, meanwhile: (id: Tensor) => void): Promise<Chunk> {
    const drawing = this.drawing(answer);
    const { logits, rule, goesOn } = drawing;
    const { backend } = this.model.decoder;
    const [drawn] = await drawTokens(backend, logits.tensor, [rule], goesOn ? meanwhile : undefined);
    if (drawn === undefined) throw new Error('no row');
    return this.accept(answer, drawn, drawing);
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
    this.#stopLoop();
    this.frontier.fed(await work(this.#sequence(), id));
  }

  /** @internal Leaves a batch: its step that runs ahead is taken back, its logits are this session's own. */
  leave(): void {
    this.#withdraw();
    void this.frontier.logits?.tensor;
  }

  /**
   * A second session with the same past; memory is shared until one of them changes.
   * @throws KvsiftError `unsupported` where the policy evicts while decoding and cannot copy its state
   */
  fork(): Session {
    this.#withdraw();
    const twin = new Session(this.model, this.options);
    twin.#cache = this.#cache.fork();
    twin.#run = forkRun(this.#run);
    twin.#window = this.#window?.fork(this.model.decoder.backend);
    twin.#ropeLength = this.#ropeLength;
    twin.#promptLength = this.#promptLength;
    twin.#generated = this.#generated;
    // A copy: the next step of this session writes where its logits lie.
    const { logits, unfed } = this.frontier;
    if (logits !== undefined) twin.frontier.reach(LogitsRow.of(this.model.decoder.backend.slice(logits.tensor, 0, 0, 1)));
    twin.frontier.unfed = [...unfed];
    return twin;
  }

  /** Takes back the last tokens. Generation can go on once something was appended. @throws `invalid_argument` where an eviction lies in between */
  rollback(tokens: number): void {
    this.#withdraw();
    const { unfed } = this.frontier;
    const pending = Math.min(tokens, unfed.length);
    unfed.splice(unfed.length - pending, pending);
    if (tokens === pending) return;
    this.#cache.rollback(tokens - pending);
    this.frontier.forget();
  }

  /**
   * Writes the session to a file that `LanguageModel.restore` reads.
   * @throws KvsiftError `unsupported` where the policy works on while decoding and cannot tell its state; `file_unreadable`
   */
  async save(path: string): Promise<void> {
    await this.#exclusive(async () => {
      this.#withdraw();
      if (this.#cache.seen === 0) throw new KvsiftError('invalid_argument', 'nothing to save: call prefill first');
      const run = this.#memory()?.save();
      const progress = {
        seen: this.#cache.seen,
        nextPosition: this.#cache.nextPosition,
        ropeLength: this.#ropeLength,
        unfed: this.frontier.unfed,
        generated: this.#generated,
        promptLength: this.#promptLength,
        renumbered: this.#run?.nextPosition === 'kept',
        run: run?.numbers ?? null,
      };
      const { logits: row, unfed } = this.frontier;
      const logits = unfed.length === 0 ? ((await row?.tensor.read()) as Float32Array | undefined) : undefined;
      await writeSessionFile(path, await this.#identity(), progress, this.#cache, logits, run?.tensors ?? {});
    });
  }

  /** @internal Continues a saved session; see `LanguageModel.restore`. */
  async restore(path: string): Promise<void> {
    await this.#exclusive(async () => {
      const { progress, logits, run } = await readSessionFile(path, await this.#identity(), this.#cache);
      this.#ropeLength = progress.ropeLength;
      this.#generated = progress.generated;
      if (run) {
        this.#begin(progress.promptLength);
        await this.#memory()?.restore(run);
      } else if (progress.renumbered) this.#run = idleRun('kept');
      if (logits) this.frontier.reach(LogitsRow.of(this.model.decoder.backend.upload(logits, 'f32', [1, logits.length])));
      this.frontier.unfed = progress.unfed.map((id) => checkId(this.model, id));
    });
  }

  /** What a file must hold of the policy at work and of what it observes. */
  #memory(): RunMemory | undefined {
    const policy = memoryOf(this.#run);
    return policy && joinMemories({ policy, window: this.#window ?? noMemory });
  }

  async #identity(): Promise<SessionIdentity> {
    const { policy } = this.options;
    return {
      model: await this.model.fingerprint(),
      policy: policy === undefined ? 'none' : formatPolicy(policy),
      kvType: this.#storage.dtype,
    };
  }

  /**
   * Original positions that each KV head of a layer still holds, ascending. Needs `trackPositions`, or a layer with a sliding window: there a policy that
   * renumbers gives entries their new positions.
   */
  async retained(layer: number): Promise<Int32Array[]> {
    this.#withdraw();
    return readRetained(this.#cache.layer(layer).view, this.#run?.heldPositions?.(layer));
  }

  dispose(): void {
    this.#stopLoop();
    this.#window?.[Symbol.dispose]();
    this.frontier.dispose();
    this.#run?.dispose();
    this.#cache.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Starts the policy for a prompt of this length. */
  #begin(promptLength: number): void {
    const run = beginPolicy(this.model.decoder.config, this.#storage, this.options, promptLength);
    if (run === undefined) return;
    this.#promptLength = promptLength;
    this.#run = run;
    if (run.decode !== undefined) this.#window = new DecodeWindow(run.decode.observe);
  }

  /** Runs sampled tokens through the model, so that the logits are those behind the last of them. */
  async #feed(signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal, 'generation');
    // In a batch that has drawn the token and not told this session yet.
    if (this.frontier.unfed.length === 0) this.#withdraw();
    this.frontier.catchUp();
    for (let [id] = this.frontier.unfed; id !== undefined; [id] = this.frontier.unfed) {
      checkLength(this.model, this.#cache.nextPosition + 1);
      this.frontier.fed(this.#rowOf(await this.#decodeLoop().step(Int32Array.of(id))));
    }
    throwIfAborted(signal, 'generation');
  }

  /** Starts the step of a token that has been drawn but not read, so that the stream has work while the host looks at it. */
  #runAhead(id: Tensor): void {
    const loop = this.#decodeLoop();
    if (!loop.replays) return;
    const before = LogitsRow.of(this.model.decoder.backend.slice(this.#ready().tensor, 0, 0, 1));
    this.frontier.runAhead(before, this.#rowOf(loop.stepWith(id)));
  }

  /** Takes the step back that runs ahead: as if its token had been drawn only. */
  #withdraw(): void {
    if (this.frontier.withdraw()) this.#cache.rollback(1);
  }

  /** Logits of this session's loop, which lie where its next step writes. */
  #rowOf(logits: Tensor): LogitsRow {
    return LogitsRow.of(this.model.decoder.backend.reshape(logits, logits.shape));
  }

  #decodeLoop(): DecodeLoop {
    this.#loop ??= new DecodeLoop(this.model.decoder, [this.#sequence()]);
    return this.#loop;
  }

  #sequence(): Sequence {
    return {
      cache: this.#cache,
      ...(this.#run && { run: this.#run }),
      ...(this.#window && { window: this.#window }),
      seed: this.options.seed ?? 0,
      index: this.options.sequence ?? 0,
      ropeLength: this.#ropeLength,
    };
  }

  #ready(): LogitsRow {
    const { logits } = this.frontier;
    if (logits !== undefined) return logits;
    throw new KvsiftError('invalid_argument', 'nothing to continue: call prefill first');
  }

  #stopLoop(): void {
    this.#loop?.[Symbol.dispose]();
    this.#loop = undefined;
  }

  /** One piece of work at a time. */
  async #exclusive<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy) throw new KvsiftError('invalid_argument', 'this session is busy: wait for the call in progress, or fork it');
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }
}
