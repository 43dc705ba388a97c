import { readFileSync } from 'node:fs';
import { KvsiftError } from '@kvsift/tensor';

/** Importance of each query head: what a head-table file holds. Made by `kvsift calibrate head-table` or taken from the HeadKV release. */
export interface HeadTable {
  /** [layers][heads], 0 or more; heads are query heads or KV heads. */
  readonly importance: readonly (readonly number[])[];
}

/** What the numbers of a file are: the importance of heads for finding things, or how much of a head streaming would lose. */
export type TableKind = 'head-table' | 'gates';

/**
 * Reads a table of heads: JSON {"importance": [[...], ...]}.
 * @param kind as files made by `kvsift calibrate` say it; others say nothing
 * @throws KvsiftError `file_not_found` or `file_malformed` naming the file and what was expected
 */
export function readHeadTable(path: string, kind: TableKind): HeadTable {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new KvsiftError('file_not_found', `head table ${path}: cannot be read`, { path }, { cause });
  }
  const malformed = (cause?: unknown) =>
    new KvsiftError(
      'file_malformed',
      `head table ${path}: expected {"importance": [[one number ≥ 0 per head], one list per layer]}`,
      { path },
      { cause },
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw malformed(cause);
  }
  const found = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : kind;
  if (found !== kind) {
    const made = `kvsift calibrate ${kind} makes one`;
    throw new KvsiftError('file_malformed', `${path} says that its kind is ${JSON.stringify(found)}, expected ${kind}: ${made}`, {
      path,
    });
  }
  const rows = typeof value === 'object' && value !== null && 'importance' in value ? value.importance : undefined;
  const isRow = (row: unknown): row is number[] =>
    Array.isArray(row) && row.length > 0 && row.every((item) => typeof item === 'number' && Number.isFinite(item) && item >= 0);
  if (!Array.isArray(rows) || rows.length === 0 || !rows.every(isRow)) throw malformed();
  return { importance: rows };
}

/** Mean over the query heads of each KV head. @throws KvsiftError `policy_invalid` where the table is of another model */
export function perKvHead(
  { importance }: HeadTable,
  model: { readonly layers: number; readonly queryHeads: number; readonly kvHeads: number },
): number[][] {
  const { layers, queryHeads, kvHeads } = model;
  const width = importance[0]?.length ?? 0;
  if (
    importance.length !== layers ||
    importance.some((row) => row.length !== width) ||
    (width !== queryHeads && width !== kvHeads)
  ) {
    throw new KvsiftError(
      'policy_invalid',
      `the head table has ${importance.length} layers of ${width} heads; this model has ${layers} layers of ${queryHeads} query heads (${kvHeads} KV heads)`,
      { expected: [layers, queryHeads], actual: [importance.length, width] },
    );
  }
  const group = width / kvHeads;
  return importance.map((row) =>
    Array.from(
      { length: kvHeads },
      (_, head) => row.slice(head * group, (head + 1) * group).reduce((sum, value) => sum + value, 0) / group,
    ),
  );
}
