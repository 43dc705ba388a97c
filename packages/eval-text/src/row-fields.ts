import { KvsiftError } from '@kvsift/tensor';
import type { JsonRow, JsonValue } from './jsonl.js';

/** Reads typed fields of a data row; every complaint names file, line and field. */
export class RowFields {
  constructor(
    private readonly path: string,
    readonly row: JsonRow,
  ) {}

  /** Refuses the row. @throws KvsiftError `data_malformed`, always, naming file, line, field, what was expected and what is there */
  reject(field: string, expected: string): never {
    const value = this.row.value[field];
    const got = value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 60);
    throw new KvsiftError('data_malformed', `${this.path}:${this.row.line}: expected ${expected} in "${field}", got ${got}`, {
      path: this.path,
      line: this.row.line,
      field,
    });
  }

  /** A field that must be there, whatever it holds. @throws KvsiftError `data_malformed` */
  value(field: string): JsonValue {
    return this.row.value[field] ?? this.reject(field, 'a value');
  }

  /** A field that must hold a text. @throws KvsiftError `data_malformed` */
  string(field: string): string {
    const value = this.row.value[field];
    return typeof value === 'string' ? value : this.reject(field, 'a string');
  }

  /** A field that must hold a finite number. @throws KvsiftError `data_malformed` */
  number(field: string): number {
    const value = this.row.value[field];
    return typeof value === 'number' && Number.isFinite(value) ? value : this.reject(field, 'a number');
  }

  /** A field that must hold a list of texts. @throws KvsiftError `data_malformed` */
  strings(field: string): string[] {
    const value = this.row.value[field];
    return Array.isArray(value) && value.every((item) => typeof item === 'string')
      ? (value as string[])
      : this.reject(field, 'a list of strings');
  }
}
