import { fillerSentences, places, slotWords } from './wording.js';

/** A whole number in [0, bound): draw number `draw` of whatever it is for. */
export type Draw = (draw: number, bound: number) => number;

/** One filler sentence, chosen and filled with the draws 0, 1, 2, …. */
export function fillerSentence(draw: Draw): string {
  let drawn = 0;
  const pick = (from: readonly string[]): string => from[draw(drawn++, from.length)] ?? '';
  return pick(fillerSentences)
    .replace('{place}', () => pick(places))
    .replace(/\{(\w+)\}/g, (_, slot: string) => pick(slotWords[slot] ?? []));
}
