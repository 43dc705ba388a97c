import type { LanguageModel } from '@kvsift/engine';
import { columnOptions, observed } from '@kvsift/policy';
import { uniformAt } from '@kvsift/tensor';
import { idsOf, lookAt } from './look.js';

/** How much text heads are watched on. */
export interface RetrievalOptions {
  /** Tokens of each text. Default 1024. */
  readonly tokens?: number;
  /** Facts that are hidden, one after the other, at even depths. Default 12. */
  readonly samples?: number;
  readonly seed?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

const things = ['lighthouse', 'orchard', 'museum', 'harbour', 'library', 'station', 'garden', 'theatre'] as const;

/**
 * Importance of each query head as HeadKV's retrieval test measures it (specification 21): a number is hidden in a text and copied out again by teacher
 * forcing; the importance is the share of copied tokens at which the head's strongest attention falls on that very token of the hidden number.
 * @param texts to hide numbers in, taken in turn
 * @returns [layers][queryHeads], each 0 … 1: what `headkv(table="...")` reads as `importance`
 */
export async function retrievalHeads(
  model: LanguageModel,
  texts: readonly string[],
  options: RetrievalOptions = {},
): Promise<number[][]> {
  const { tokens = 1024, samples = 12, seed = 42, onProgress } = options;
  const { layers, queryHeads } = model.decoder.config;
  const hits = layers.map(() => new Array<number>(queryHeads).fill(0));
  let steps = 0;
  for (let sample = 0; sample < samples; sample++) {
    const { ids, hidden, copied } = copyTask(model, texts[sample % texts.length] ?? '', tokens, sample, samples, seed);
    steps += hidden.length;
    await lookAt(model, ids, { queries: { last: ids.length - copied + 1 } }, async (view) => {
      const own = hits[view.layer];
      const q = observed(view, 'queries');
      const [rows = 0] = q.shape;
      // The token before a copied one chooses it.
      const behind = view.length - (copied - 1 + hidden.length);
      const part = view.backend.slice(q, 0, 0, rows - behind);
      const paid = await view.backend.attentionRows(part, view.cache, columnOptions(view, rows - behind, { behind })).read();
      for (let head = 0; head < queryHeads; head++) {
        hidden.forEach((place, row) => {
          const start = (head * hidden.length + row) * view.length;
          if (argmax(paid as Float32Array, start, view.length) === place && own) own[head] = (own[head] ?? 0) + 1;
        });
      }
    });
    onProgress?.(sample + 1, samples);
  }
  return hits.map((row) => row.map((count) => count / steps));
}

/** A text with a hidden number and its copy at the end: places of the hidden tokens, and where the copy begins. */
function copyTask(model: LanguageModel, text: string, tokens: number, sample: number, of: number, seed: number) {
  const draw = (at: number) => uniformAt({ seed, sequence: sample, layer: 0, purpose: 21 }, 0, at);
  const thing = things[Math.floor(draw(0) * things.length)] ?? 'lighthouse';
  const number = Array.from({ length: 7 }, (_, at) => Math.floor(10 * draw(at + 1))).join('');
  const plain = (part: string) => [...(model.tokenizer?.encode(part, { addSpecial: false }) ?? [])];
  const before = plain(` The secret number of the old ${thing} is`);
  const value = plain(` ${number}`);
  const after = plain('.');
  const asked = [...plain(` What is the secret number of the old ${thing}? The secret number of the old ${thing} is`)];
  const room = Math.max(1, tokens - before.length - 2 * value.length - after.length - asked.length);
  const hay = [...idsOf(model, text, room)];
  const place = Math.max(1, Math.round(((sample + 0.5) / of) * hay.length));
  const head = [...hay.slice(0, place), ...before];
  const hidden = value.map((_, at) => head.length + at);
  const start = [...head, ...value, ...after, ...hay.slice(place), ...asked];
  return { ids: [...start, ...value], hidden, copied: start.length };
}

function argmax(values: Float32Array, start: number, length: number): number {
  let best = 0;
  for (let at = 1; at < length; at++) if ((values[start + at] ?? 0) > (values[start + best] ?? 0)) best = at;
  return best;
}
