import { existsSync, readFileSync } from 'node:fs';
import type { LayerInputs } from '@kvsift/policy-testkit';

/** The specification's golden vectors (section 35), read from the sheet itself. */
export class GoldenVectors {
  readonly #paragraphs: readonly string[];

  private constructor(section: string) {
    this.#paragraphs = section.split('\n');
  }

  /** Undefined where the sheet is not there. */
  static read(path: string): GoldenVectors | undefined {
    if (!existsSync(path)) return undefined;
    const text = readFileSync(path, 'utf8');
    const start = text.indexOf('## 35.');
    return new GoldenVectors(text.slice(start, text.indexOf('## 36.', start)));
  }

  /** Text behind `marker` in the paragraph that begins with **title, and the lines below it up to the next title. */
  text(title: string, marker = ''): string {
    const at = this.#paragraphs.findIndex((line) => line.startsWith(`**${title}`));
    if (at < 0) throw new Error(`section 35 has no paragraph ${title}`);
    const next = this.#paragraphs.findIndex((line, index) => index > at && line.startsWith('**'));
    const own = this.#paragraphs.slice(at, next < 0 ? undefined : next).join('\n');
    const from = own.indexOf(marker);
    if (from < 0) throw new Error(`${title}: no '${marker}'`);
    return own.slice(from + marker.length);
  }

  /** The first `count` decimal numbers behind a marker. */
  numbers(title: string, marker: string, count: number): number[] {
    const found = this.text(title, marker).match(/-?\d*\.\d+/g) ?? [];
    if (found.length < count) throw new Error(`${title}: ${found.length} numbers behind '${marker}', not ${count}`);
    return found.slice(0, count).map(Number);
  }

  /** The first set {1,2,3} behind a marker. */
  set(title: string, marker: string): number[] {
    const found = /\{([\d,]+)\}/.exec(this.text(title, marker))?.[1];
    if (found === undefined) throw new Error(`${title}: no set behind '${marker}'`);
    return found.split(',').map(Number);
  }
}

/** The layer that the vectors are computed from. */
export function sheetInputs(): LayerInputs {
  const [queryHeads, kvHeads, length, headDim] = [4, 2, 12, 4];
  const fill = (heads: number, value: (head: number, position: number, channel: number) => number): Float32Array =>
    Float32Array.from({ length: heads * length * headDim }, (_, index) =>
      value(Math.floor(index / (length * headDim)), Math.floor(index / headDim) % length, index % headDim),
    );
  const queries = fill(queryHeads, (h, j, c) => Math.sin(0.9 + 1.7 * h + 0.61 * j + 2.3 * c));
  const keys = fill(kvHeads, (g, j, c) => Math.cos(0.3 + 1.1 * g + 0.83 * j + 1.9 * c) * (1 + 0.25 * ((7 * j + 3 * g) % 5)));
  const values = fill(kvHeads, (g, j, c) => Math.sin(2 + 0.5 * g + 1.37 * j + 0.77 * c));
  return {
    queryHeads,
    kvHeads,
    headDim,
    length,
    queries,
    keys,
    values,
    queriesBeforeRotation: queries,
    inverseFrequencies: Float32Array.of(1, 0.01),
  };
}
