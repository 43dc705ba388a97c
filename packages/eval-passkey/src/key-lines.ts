import { philox4x32 } from '@kvsift/tensor';
import { NOISE } from './noise.js';

/** `passkey` (Retrieve.PassKey) or `number_string` (Retrieve.Number) of InfiniteBench. */
export type KeyTask = 'passkey' | 'number_string';

/** Depths and size of the published files and of those that the reference's script makes. */
export interface KeyGrid {
  /** Noise lines around the key. */
  readonly lines: number;
  /** Noise lines between two depths. */
  readonly step: number;
  readonly keysPerDepth: number;
}

/** Grids by tokens of context. `128k` is the released file: 59 depths × 10 keys. */
export const KEY_GRIDS = {
  '8k': { lines: 326, step: 6, keysPerDepth: 5 },
  '16k': { lines: 652, step: 12, keysPerDepth: 5 },
  '32k': { lines: 1305, step: 22, keysPerDepth: 5 },
  '64k': { lines: 2610, step: 45, keysPerDepth: 5 },
  '128k': { lines: 5220, step: 90, keysPerDepth: 10 },
} as const satisfies Readonly<Record<string, KeyGrid>>;

/** What names the key, and the question after the context. */
const WORDING: Readonly<Record<KeyTask, readonly [name: string, question: string]>> = {
  passkey: ['pass key', 'What is the pass key?'],
  number_string: ['sequence of digits', 'What is the sequence of digits?'],
};

/** Five digits; for number strings each of five times a digit is doubled in place, so that runs arise ("2200012222"). */
export function drawKey(task: KeyTask, seed: number, index: number): string {
  const words = [0, 1, 2].flatMap((block) => philox4x32([block, 0, 0, 0], [seed >>> 0, index >>> 0]));
  // 2^32 is so much larger than ten that the bias of the remainder (2e-9) does not matter.
  const digits = words.slice(0, 5).map((word) => word % 10);
  if (task === 'number_string') {
    for (const word of words.slice(5, 10)) {
      const at = word % digits.length;
      digits.splice(at, 0, digits[at] ?? 0);
    }
  }
  return digits.join('');
}

/** Context, question and key of one prompt: `before` noise lines, the line with the key, `after` noise lines. */
export function keyPrompt(task: KeyTask, key: string, before: number, after: number): { context: string; input: string } {
  const [name, input] = WORDING[task];
  const line = `The ${name} is ${key}. Remember it. ${key} is the ${name}.\n`;
  return { context: `${NOISE}\n`.repeat(before) + line + `${NOISE}\n`.repeat(after), input };
}
