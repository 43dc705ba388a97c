import type { DecoderModel } from '@kvsift/models';
import { KvsiftError } from '@kvsift/tensor';
import { throwIfAborted } from './abort.js';
import type { Answer, Chunk, GenerateOptions } from './answer.js';
import { BatchStepper } from './batch-stepper.js';
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
 * @throws KvsiftError `invalid_argument` where the numbers of sessions and options differ, or a session comes twice; `aborted` by the first signal that
 * fires; `disposed` where a session was
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
  if (new Set(sessions).size < sessions.length) {
    throw new KvsiftError('invalid_argument', 'a batch holds a session once: fork() makes a second one with the same past');
  }
  let active = sessions.map((session, index): Member => ({ session, index, answer: session.startAnswer(each[index] ?? {}) }));
  const stepper = new BatchStepper(decoder);
  try {
    // What an answer before has left: its last token is fed when the next one is needed.
    while (active.some(({ session }) => session.frontier.unfed.length > 0)) {
      throwIfAnyAborted(active);
      await stepper.step(sessions);
    }
    while (active.length > 0) {
      throwIfAnyAborted(active);
      const going: Member[] = [];
      for (const [row, { token, drawing }] of (await stepper.draw(active)).entries()) {
        const member = active[row];
        if (member === undefined) continue;
        const chunk = member.session.accept(member.answer, token, drawing);
        if (chunk.finishReason === undefined) going.push(member);
        else member.session.leave();
        yield { ...chunk, session: member.index };
      }
      active = going;
      await stepper.step(active.map(({ session }) => session));
    }
  } finally {
    for (const { session } of active) session.leave();
    stepper[Symbol.dispose]();
  }
}

function throwIfAnyAborted(active: readonly Member[]): void {
  for (const { answer } of active) throwIfAborted(answer.options.signal, 'generation');
}

function isList(options: GenerateOptions | readonly GenerateOptions[]): options is readonly GenerateOptions[] {
  return Array.isArray(options);
}
