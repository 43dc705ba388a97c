import { median } from '../median.js';
import type { RunResult } from '../peers/protocol.js';

/** One printed line. `ratio` is ours / peer, or what the name says; `goal` what it should reach at least. */
export interface Row {
  readonly name: string;
  readonly ours: number;
  readonly peer: number;
  readonly ratio: number;
  readonly goal: number;
  /** (largest − smallest) / median of our repetitions. */
  readonly spread: number;
}

/** Prints rows as they come. */
export class Printer {
  readonly rows: Row[] = [];
  /** Lines for people that belong beside the table. */
  readonly notes: string[] = [];

  constructor(private readonly json: boolean) {}

  /** A line for people only. */
  title(text: string): void {
    if (!this.json) console.log(text);
  }

  note(text: string): void {
    this.notes.push(text);
    this.title(text);
  }

  row(row: Row): void {
    this.rows.push(row);
    if (this.json) {
      console.log(JSON.stringify(row));
      return;
    }
    const mark = row.ratio >= row.goal ? 'ok  ' : 'miss';
    const text = [row.ours, row.peer, row.ratio].map((value) => value.toFixed(2).padStart(10)).join('');
    console.log(`${mark} ${row.name.padEnd(58)}${text}  goal ${row.goal}  spread ${(100 * row.spread).toFixed(0)} %`);
  }

  /** Something of ours that should stay below a limit. */
  atMost(name: string, ours: number, limit: number): void {
    this.row({ name: `${name}: allowed / measured`, ours, peer: limit, ratio: limit / Math.max(ours, 1e-9), goal: 1, spread: 0 });
  }

  /** Ours against the best of the others, or of one of them. */
  compare(
    name: string,
    results: ReadonlyMap<string, readonly RunResult[]>,
    phase: 'prefill' | 'decode',
    goal: number,
    against?: string,
  ): void {
    const ours = (results.get('kvsift') ?? []).map((result) => result[phase]);
    const others = [...results].filter(([peer]) => peer !== 'kvsift' && (against === undefined || peer === against));
    if (others.length === 0) return;
    const peer = Math.max(...others.map(([, list]) => median(list.map((result) => result[phase]))));
    const middle = median(ours);
    this.row({ name, ours: middle, peer, ratio: middle / peer, goal, spread: (Math.max(...ours) - Math.min(...ours)) / middle });
  }
}
