import type { DecoderModel } from '@kvsift/models';
import type { Tensor } from '@kvsift/tensor';
import type { Answer, Drawn } from './answer.js';
import { DecodeLoop } from './decode.js';
import { LogitsRow } from './logits-row.js';
import { type Drawing, drawTokens } from './sampling.js';
import type { Sequence } from './sequence.js';
import type { Session } from './session.js';

/** A session whose token is being fed. */
interface Feeding {
  readonly session: Session;
  readonly sequence: Sequence;
  readonly id: number;
  readonly resolve: (logits: LogitsRow) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Draws and feeds one token of each session in one pass; keeps the recorded step while the sessions stay the same. Their logits stay together then, and
 * the next step starts before anybody has read the tokens that it takes.
 */
export class BatchStepper implements Disposable {
  #loop: DecodeLoop | undefined;
  /** Whose step the loop makes, in its order. */
  #members: readonly Session[] = [];
  /** What its last step made, and each member's part of that. */
  #logits: Tensor | undefined;
  #rows: readonly LogitsRow[] = [];
  /** What the tokens under way are drawn from, copied before the step that runs ahead writes where it lay. */
  #before: Tensor | undefined;

  constructor(private readonly decoder: DecoderModel) {}

  /** The next token of each, drawn in one op. */
  async draw(
    members: readonly { readonly session: Session; readonly answer: Answer }[],
  ): Promise<{ readonly token: Drawn; readonly drawing: Drawing }[]> {
    const { backend } = this.decoder;
    const drawings = members.map(({ session, answer }) => session.drawing(answer));
    const together = drawings.length === this.#rows.length && drawings.every(({ logits }, row) => logits === this.#rows[row]);
    const shared = together ? this.#logits : undefined;
    const sessions = members.map(({ session }) => session);
    const goesOn = shared !== undefined && drawings.every((drawing) => drawing.goesOn);
    const logits =
      shared ??
      backend.concat(
        drawings.map((drawing) => drawing.logits.tensor),
        0,
      );
    try {
      const rules = drawings.map(({ rule }) => rule);
      const tokens = await drawTokens(
        backend,
        logits,
        rules,
        goesOn ? (ids) => this.#runAhead(sessions, logits, ids) : undefined,
      );
      return drawings.map((drawing, row) => {
        const token = tokens[row];
        if (token === undefined) throw new Error('fewer tokens than rows');
        return { token, drawing };
      });
    } finally {
      if (shared === undefined) logits.dispose();
    }
  }

  #runAhead(sessions: readonly Session[], logits: Tensor, ids: Tensor): void {
    if (this.#loop?.runsAhead !== true) return;
    const before = this.decoder.backend.slice(logits, 0, 0, sessions.length);
    this.#before?.dispose();
    this.#before = before;
    this.#hold(this.#loop.stepWith(ids));
    this.#rows.forEach((after, row) => {
      sessions[row]?.frontier.runAhead({ before: this.#rowOf(before, row), after });
    });
  }

  /** Feeds the token of each, unless that is under way for all of them. */
  async step(sessions: readonly Session[]): Promise<void> {
    if (sessions.every((session) => session.frontier.isAhead(this.#rows[this.#members.indexOf(session)]))) {
      for (const { frontier } of sessions) frontier.catchUp();
      return;
    }
    const feeding: Feeding[] = [];
    const done = sessions.map((session) =>
      session.step((sequence, id) => new Promise((resolve, reject) => feeding.push({ session, sequence, id, resolve, reject }))),
    );
    if (feeding.length > 0) {
      try {
        const loop = this.#loopOf(feeding);
        this.#hold(await loop.step(Int32Array.from(feeding, ({ id }) => id)));
        for (const [row, { resolve }] of feeding.entries()) {
          const logits = this.#rows[row];
          if (logits !== undefined) resolve(logits);
        }
      } catch (error) {
        this.#rows = [];
        for (const { reject } of feeding) reject(error);
      }
    }
    await Promise.all(done);
  }

  /** The loop of these sessions: the present one, or one in its place. */
  #loopOf(feeding: readonly Feeding[]): DecodeLoop {
    const same =
      feeding.length === this.#members.length && feeding.every(({ session }, index) => session === this.#members[index]);
    if (same && this.#loop !== undefined) return this.#loop;
    this.#loop?.[Symbol.dispose]();
    this.#loop = undefined;
    this.#loop = new DecodeLoop(
      this.decoder,
      feeding.map(({ sequence }) => sequence),
    );
    this.#members = feeding.map(({ session }) => session);
    return this.#loop;
  }

  #hold(logits: Tensor): void {
    this.#logits = logits;
    this.#rows = this.#members.map((_, row) => this.#rowOf(logits, row));
  }

  #rowOf(logits: Tensor, row: number): LogitsRow {
    return new LogitsRow(() => this.decoder.backend.slice(logits, 0, row, row + 1));
  }

  [Symbol.dispose](): void {
    this.#loop?.[Symbol.dispose]();
    this.#loop = undefined;
    this.#before?.dispose();
  }
}
