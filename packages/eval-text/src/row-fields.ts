import { KvsiftError } from '@kvsift/tensor';
import type { JsonRow, JsonValue } from './jsonl.js';

/** Reads typed fields of a data row; every complaint names file, line and field. */
export class RowFields {
  constructor(
    private readonly path: string,
    readonly row: JsonRow,
  ) {}

  /** @throws KvsiftError `data_malformed`, always */
  reject(field: string, expected: string): never {
    const value = this.row.value[field];
    const got = value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 60);
    throw new KvsiftError('data_malformed', `${this.path}:${this.row.line}: expected ${expected} in "${field}", got ${got}`, {
      path: this.path,
      line: this.row.line,
      field,
    });
  }

  value(field: string): JsonValue {
    return this.row.value[field] ?? this.reject(field, 'a value');
  }

  string(field: string): string {
    const value = this.row.value[field];
    return typeof value === 'string' ? value : this.reject(field, 'a string');
  }

  number(field: string): number {
    const value = this.row.value[field];
    return typeof value === 'number' && Number.isFinite(value) ? value : this.reject(field, 'a number');
  }

  strings(field: string): string[] {
    const value = this.row.value[field];
    return Array.isArray(value) && value.every((item) => typeof item === 'string')
      ? (value as string[])
      : this.reject(field, 'a list of strings');
  }
}
