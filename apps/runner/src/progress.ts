import ora, { type Ora } from 'ora';

/** Between two lines of progress where there is no terminal. */
const plainMilliseconds = 5000;

/** Tells on standard error what is going on: a spinner on a terminal, a line per step elsewhere, nothing where `quiet`. */
export class Progress implements Disposable {
  readonly #spinner: Ora | undefined;

  constructor(quiet = false) {
    // A terminal that nobody gave a size has no columns, and ora would clear an infinity of lines there.
    const terminal = process.stderr.isTTY && process.stderr.columns > 0;
    this.#spinner = !quiet && terminal ? ora({ stream: process.stderr, discardStdin: false }) : undefined;
    this.#plain = !quiet && !terminal;
  }

  readonly #plain: boolean;
  #step = '';
  #nextLine = performance.now() + plainMilliseconds;

  /** A new step: shown at once. */
  step(text: string): void {
    this.#step = text;
    if (this.#spinner) this.#spinner.start(text);
    else if (this.#plain) console.error(text);
  }

  /** How far the step is, 0 … 1; terminals only. */
  share(done: number, total: number): void {
    if (this.#spinner) this.#spinner.text = `${this.#step} ${Math.floor((100 * done) / Math.max(1, total))} %`;
  }

  /** Replaces the step's text: shown at once on a terminal, every few seconds elsewhere. */
  update(text: string): void {
    this.#step = text;
    if (this.#spinner?.isSpinning) this.#spinner.text = text;
    else if (this.#spinner) this.#spinner.start(text);
    else if (this.#plain && performance.now() >= this.#nextLine) {
      console.error(text);
      this.#nextLine = performance.now() + plainMilliseconds;
    }
  }

  /** A line that stays. */
  remark(text: string): void {
    if (this.#spinner?.isSpinning) this.#spinner.clear();
    console.error(text);
  }

  /** Clears the line, so that something else can be printed. */
  clear(): void {
    this.#spinner?.stop();
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
