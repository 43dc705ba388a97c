import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { AnswerScore } from './answer-score.js';
import type { Setting } from './planted-fact.js';

/** All answers about one planted fact. */
export interface RetrievalRow {
  readonly source: 'kvsift' | 'kvpress';
  readonly model: string;
  readonly length: number;
  readonly setting: Setting;
  readonly sample: string;
  /** By `policy@budget`; `full@100%` with nothing evicted. */
  readonly scores: Readonly<Record<string, AnswerScore>>;
}

export const keyOf = ({ source, model, length, setting, sample }: Omit<RetrievalRow, 'scores'>): string =>
  [source, model, length, setting, sample].join(' ');

/** Whole lines of a file of rows; a line that was cut off is left out. */
export function readRows(path: string): RetrievalRow[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as RetrievalRow);
}

export function appendRow(path: string, row: RetrievalRow): void {
  mkdirSync(dirname(path), { recursive: true });
  appendFileSync(path, `${JSON.stringify(row)}\n`);
}
