import type { LogitsRow } from './logits-row.js';

/** A step under way: what its token is drawn from, and what the step makes. */
export interface Ahead {
  readonly before: LogitsRow;
  readonly after: LogitsRow;
}

/** Where a sequence goes on: the logits behind its last token, tokens that the model has not been fed yet, and the step of such a token while it is under way. */
export class Frontier {
  /** Drawn or given, and not fed to the model. */
  unfed: number[] = [];
  #logits: LogitsRow | undefined;
  #ahead: Ahead | undefined;

  get logits(): LogitsRow | undefined {
    return this.#logits;
  }

  /** Tokens that the cache has not seen. */
  get beyond(): number {
    return this.unfed.length - (this.#ahead === undefined ? 0 : 1);
  }

  /** Everything has been fed, and these logits follow. */
  reach(logits: LogitsRow): void {
    this.unfed = [];
    this.#take(logits);
  }

  /** The first of the tokens has been fed, and these logits follow it. */
  fed(logits: LogitsRow): void {
    this.unfed.shift();
    this.#take(logits);
  }

  /** What follows is not known any more. */
  forget(): void {
    this.#logits?.dispose();
    this.#logits = undefined;
  }

  /** The step of the token that is being drawn has started, or none where it cannot. */
  runAhead(ahead: Ahead | undefined): void {
    this.#ahead = ahead;
  }

  /** Whether the step that makes these logits goes on from here: nobody has taken it back, and its token is known. */
  isAhead(after: LogitsRow | undefined): boolean {
    return this.#ahead !== undefined && this.#ahead.after === after && this.unfed.length > 0;
  }

  /** Counts the step that is under way as done. */
  catchUp(): void {
    const ahead = this.#ahead;
    if (ahead === undefined) return;
    this.#ahead = undefined;
    ahead.before.dispose();
    this.fed(ahead.after);
  }

  /** Takes the step that is under way back, as if its token had been drawn only. @returns whether there was one: the cache holds a token too many then */
  withdraw(): boolean {
    const ahead = this.#ahead;
    if (ahead === undefined) return false;
    this.#ahead = undefined;
    ahead.after.dispose();
    this.#take(ahead.before);
    return true;
  }

  dispose(): void {
    this.#ahead?.before.dispose();
    this.#ahead?.after.dispose();
    this.#ahead = undefined;
    this.forget();
  }

  #take(logits: LogitsRow): void {
    this.#logits?.dispose();
    this.#logits = logits;
  }
}
