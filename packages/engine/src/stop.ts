/** Finds stop strings in streamed text and holds back what may be the beginning of one. */
export class StopFinder {
  #held = '';

  constructor(private readonly stops: readonly string[]) {}

  /** Text that may be shown now, and whether a stop string has come. */
  push(text: string): { readonly text: string; readonly stopped: boolean } {
    const all = this.#held + text;
    const at = this.stops.reduce((first, stop) => {
      const found = stop === '' ? -1 : all.indexOf(stop);
      return found >= 0 && (first < 0 || found < first) ? found : first;
    }, -1);
    if (at >= 0) {
      this.#held = '';
      return { text: all.slice(0, at), stopped: true };
    }
    const held = this.stops.reduce((most, stop) => Math.max(most, overlap(all, stop)), 0);
    this.#held = all.slice(all.length - held);
    return { text: all.slice(0, all.length - held), stopped: false };
  }

  /** What was held back. */
  end(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }
}

/** Length of the longest proper beginning of `stop` that ends `text`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
