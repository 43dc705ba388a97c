import type { FileHandle } from 'node:fs/promises';
import { TextDecoder } from 'node:util';
import { KvsiftError } from '@kvsift/tensor';
import { type FileFacts, readInto } from '../files/regular-file.js';

const windowBytes = 256 * 1024;
/** Longest string that a header may hold: above any chat template or embedded tokenizer. */
const maxStringBytes = 64 * 1024 * 1024;

const utf8 = () => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads a GGUF header from front to back through a window of 256 KiB, so that memory follows what was read and not what the file claims.
 * `need` must have been awaited for as many bytes as the next reads take.
 */
export class HeaderCursor {
  /** What is being read, for messages. */
  field = 'magic';
  #view = new DataView(new ArrayBuffer(0));
  /** Of strings that are decoded at once. */
  readonly #whole = utf8();
  #start = 0;
  #at = 0;

  constructor(
    readonly handle: FileHandle,
    readonly file: FileFacts,
  ) {}

  get position(): number {
    return this.#start + this.#at;
  }

  get remaining(): number {
    return this.file.size - this.position;
  }

  error(reason: string): KvsiftError {
    const { path } = this.file;
    return new KvsiftError('file_malformed', `${path}: ${this.field}: ${reason}`, {
      path,
      field: this.field,
      byte: this.position,
    });
  }

  /** Makes the next `bytes` (at most the window) readable. Undefined where they are already: then there is nothing to await. */
  need(bytes: number): Promise<void> | undefined {
    if (this.#at + bytes <= this.#view.byteLength) return undefined;
    return this.#fill(bytes);
  }

  async #fill(bytes: number): Promise<void> {
    const left = this.remaining;
    if (bytes > left) throw this.error(`expected ${bytes} bytes at byte ${this.position}, the file has ${left} left`);
    const window = new Uint8Array(Math.min(windowBytes, left));
    const start = this.position;
    await readInto(this.handle, this.file.path, window, start);
    this.#view = new DataView(window.buffer);
    this.#start = start;
    this.#at = 0;
  }

  #take(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    return at;
  }

  u8 = (): number => this.#view.getUint8(this.#take(1));
  i8 = (): number => this.#view.getInt8(this.#take(1));
  u16 = (): number => this.#view.getUint16(this.#take(2), true);
  i16 = (): number => this.#view.getInt16(this.#take(2), true);
  u32 = (): number => this.#view.getUint32(this.#take(4), true);
  i32 = (): number => this.#view.getInt32(this.#take(4), true);
  f32 = (): number => this.#view.getFloat32(this.#take(4), true);
  f64 = (): number => this.#view.getFloat64(this.#take(8), true);
  u64 = (): bigint => this.#view.getBigUint64(this.#take(8), true);
  i64 = (): bigint => this.#view.getBigInt64(this.#take(8), true);

  /** A 64-bit count of things that take at least `bytesEach` in the rest of the file. */
  async count(bytesEach: number, most = Number.MAX_SAFE_INTEGER): Promise<number> {
    const wait = this.need(8);
    if (wait) await wait;
    const value = this.u64();
    const room = Math.min(most, Math.floor(this.remaining / bytesEach));
    if (value > BigInt(room))
      throw this.error(
        `expected a count of at most ${room}, for which the rest of the file has room, found ${value}: the file is cut short or damaged`,
      );
    return Number(value);
  }

  /** The next string, where all of it is in the window; else undefined, and nothing is read. Vocabularies are 100,000 of them: not a promise each. */
  stringAtHand(): string | undefined {
    const left = this.#view.byteLength - this.#at;
    if (left < 8) return undefined;
    const length = this.#view.getBigUint64(this.#at, true);
    if (length > BigInt(left - 8)) return undefined;
    this.#take(8);
    return this.#decode(this.#whole, Number(length), false);
  }

  /** A 64-bit length and that many bytes of UTF-8. Decoded piece by piece, so that garbage ends early. */
  async string(): Promise<string> {
    const length = await this.count(1, maxStringBytes);
    if (length <= windowBytes) {
      const wait = this.need(length);
      if (wait) await wait;
      return this.#decode(this.#whole, length, false);
    }
    const decoder = utf8();
    let text = '';
    for (let left = length; left > 0; ) {
      const piece = Math.min(left, windowBytes);
      const wait = this.need(piece);
      if (wait) await wait;
      left -= piece;
      text += this.#decode(decoder, piece, left > 0);
    }
    return text;
  }

  #decode(decoder: TextDecoder, length: number, stream: boolean): string {
    try {
      return decoder.decode(new Uint8Array(this.#view.buffer, this.#take(length), length), { stream });
    } catch {
      throw this.error('expected valid UTF-8');
    }
  }
}
