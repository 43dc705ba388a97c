import type { DecoderModel } from '@kvsift/models';
import { type Backend, KvsiftError, type Tensor } from '@kvsift/tensor';
import type { Answer, Chunk, Drawn, GenerateOptions } from './answer.js';
import { DecodeLoop } from './decode.js';
import { drawTokens } from './sampling.js';
import type { Sequence } from './sequence.js';
import type { Session } from './session.js';

/** A chunk of one of the sessions of a batch. */
export interface BatchChunk extends Chunk {
  /** Index of the session. */
  readonly session: number;
}

interface Member {
  readonly session: Session;
  readonly answer: Answer;
  readonly index: number;
}

/**
 * Generates answers of several sessions in one pass per token: the weights are read once for all of them. Each session keeps its own cache, policy, budget
 * and seed, and answers as it would alone. Sessions leave the batch as they finish.
 * @param sessions of one model, each with its prompt read
 * @param options for all, or one per session
 * @throws KvsiftError `invalid_argument` where the numbers of sessions and options differ; `aborted` by the first signal that fires
 */
export async function* generateBatch(
  decoder: DecoderModel,
  sessions: readonly Session[],
  options: GenerateOptions | readonly GenerateOptions[] = {},
): AsyncGenerator<BatchChunk, void, undefined> {
  const each = isList(options) ? options : sessions.map(() => options);
  if (each.length !== sessions.length) {
    throw new KvsiftError('invalid_argument', `${sessions.length} sessions need as many options, not ${each.length}`);
  }
  let active = sessions.map((session, index): Member => ({ session, index, answer: session.startAnswer(each[index] ?? {}) }));
  const stepper = new BatchStepper(decoder);
  try {
    while (active.length > 0) {
      for (const { answer } of active) {
        if (answer.options.signal?.aborted)
          throw new KvsiftError('aborted', 'generation was aborted', {}, { cause: answer.options.signal.reason });
      }
      const going: Member[] = [];
      for (const { member, token } of await drawAll(decoder.backend, active)) {
        const chunk = member.session.accept(member.answer, token);
        if (chunk.finishReason === undefined) going.push(member);
        yield { ...chunk, session: member.index };
      }
      active = going;
      await stepper.step(active.map(({ session }) => session));
    }
  } finally {
    stepper[Symbol.dispose]();
  }
}

/** The next token of each member, drawn in one op. */
async function drawAll(
  backend: Backend,
  members: readonly Member[],
): Promise<{ readonly member: Member; readonly token: Drawn }[]> {
  const drawings = members.map(({ session, answer }) => session.drawing(answer));
  using logits = backend.concat(
    drawings.map(({ logits }) => logits),
    0,
  );
  const tokens = await drawTokens(
    backend,
    logits,
    drawings.map(({ rule }) => rule),
  );
  return members.map((member, row) => {
    const token = tokens[row];
    if (token === undefined) throw new Error('fewer tokens than rows');
    return { member, token };
  });
}

function isList(options: GenerateOptions | readonly GenerateOptions[]): options is readonly GenerateOptions[] {
  return Array.isArray(options);
}

/** Feeds one token of each session in one pass; keeps the recorded step while the sessions stay the same. */
class BatchStepper implements Disposable {
  #loop: DecodeLoop | undefined;
  #members: readonly Session[] = [];

  constructor(private readonly decoder: DecoderModel) {}

  async step(sessions: readonly Session[]): Promise<void> {
    if (sessions.length === 0) return;
    const gathered: {
      readonly sequence: Sequence;
      readonly id: number;
      readonly resolve: (logits: Tensor) => void;
      readonly reject: (error: unknown) => void;
    }[] = [];
    const done = sessions.map((session) =>
      session.step((sequence, id) => new Promise<Tensor>((resolve, reject) => gathered.push({ sequence, id, resolve, reject }))),
    );
    if (
      this.#loop === undefined ||
      sessions.some((session, index) => session !== this.#members[index]) ||
      sessions.length !== this.#members.length
    ) {
      this.#loop?.[Symbol.dispose]();
      this.#loop = new DecodeLoop(
        this.decoder,
        gathered.map(({ sequence }) => sequence),
      );
      this.#members = sessions;
    }
    try {
      const logits = await this.#loop.step(Int32Array.from(gathered, ({ id }) => id));
      for (const [row, { resolve }] of gathered.entries()) resolve(this.decoder.backend.slice(logits, 0, row, row + 1));
    } catch (error) {
      for (const { reject } of gathered) reject(error);
    }
    await Promise.all(done);
  }

  [Symbol.dispose](): void {
    this.#loop?.[Symbol.dispose]();
    this.#loop = undefined;
  }
}
