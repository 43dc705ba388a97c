import ora, { type Ora } from 'ora';

/** Tells on standard error what is going on: a spinner on a terminal, a line per step elsewhere, nothing where `quiet`. */
export class Progress implements Disposable {
  readonly #spinner: Ora | undefined;

  constructor(quiet = false) {
    this.#spinner = quiet || !process.stderr.isTTY ? undefined : ora({ stream: process.stderr, discardStdin: false });
    this.#plain = !quiet && !process.stderr.isTTY;
  }

  readonly #plain: boolean;
  #step = '';

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

  /** Clears the line, so that something else can be printed. */
  clear(): void {
    this.#spinner?.stop();
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
