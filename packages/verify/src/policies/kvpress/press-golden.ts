import type { SequenceContext } from '@kvsift/policy';
import { evictFrom, type LayerSource, scoresFrom } from '@kvsift/policy-testkit';
import { z } from 'zod';
import type { Finding } from '../../forward/compare.js';
import type { GoldenFile } from '../../forward/golden-file.js';
import { sameKept, sameScores } from '../compare.js';
import { keeping } from '../synthetic/scored.js';
import { pressCheck } from './press.js';

/** presses.json of one prompt. */
export const pressesSchema = z.object({
  tokens: z.int(),
  layers: z.int(),
  kvHeads: z.int(),
  presses: z.array(
    z.object({
      press: z.string(),
      params: z.record(z.string(), z.unknown()),
      ratios: z.record(z.string(), z.unknown()),
    }),
  ),
});
export type Press = z.infer<typeof pressesSchema>['presses'][number];

/** A press at one ratio in one layer. */
export interface PressLayer {
  readonly press: Press;
  readonly ratio: string;
  readonly layer: number;
  readonly golden: GoldenFile;
  readonly source: LayerSource;
  /** Without budget and counting, which the ratio gives. */
  readonly context: Omit<SequenceContext, 'budget' | 'counting'>;
  /** Factor on the tolerances where the layer's inputs are our own forward pass: float32 sums in another order. Default 1: stored inputs. */
  readonly noise?: number;
}

/** Budget of a ratio; presses that set their own size ('any') get one entry less than the prompt. */
function budgetOf(ratio: string, tokens: number): SequenceContext['budget'] {
  return ratio === 'any' ? { kind: 'tokens', tokens: tokens - 1 } : keeping(Number(ratio));
}

/** Findings of a press in one layer by quantity; undefined where this layer has nothing to compare with (its sketch was not stored). */
export async function checkPressLayer(at: PressLayer): Promise<Record<string, Finding> | undefined> {
  const { press, ratio, layer, golden, source, noise = 1 } = at;
  const phi = golden.has(`phi.${layer}`) ? await golden.read(`phi.${layer}`) : undefined;
  const isSketched = golden.names.some((name) => name.startsWith('phi.'));
  if (isSketched && phi === undefined) return undefined;
  const check = pressCheck(press.press, press.params, Number(ratio), (view) => {
    if (phi === undefined) throw new Error(`${press.press} has no sketch for layer ${layer}`);
    return view.backend.upload(phi.values, 'f32', phi.shape);
  });
  if (check === undefined) return { press: 'not understood' };
  const { policy, scorer, slack, step = 0 } = check;
  const tolerance = {
    relative: check.tolerance.relative * noise,
    absolute: check.tolerance.absolute * noise + (noise > 1 ? 1.01 * step : 0),
  };
  const context: SequenceContext = { ...at.context, budget: budgetOf(ratio, source.length), counting: 'kvpress' };
  const expected = await keptOf(golden, `kept.${ratio}`, layer, source.kvHeads);
  const result = await evictFrom(policy, context, layer, source);
  const name = [`scores.${ratio}.${layer}`, `scores.${layer}`].find((candidate) => golden.has(candidate));
  const ours = scorer && (await scoresFrom(scorer, context, layer, source));
  const scores = name === undefined ? undefined : await golden.floats(name);
  const columns = scorer && { first: scorer.scoring.protect.first, end: source.length - scorer.scoring.protect.last };
  // Scores of the golden tell what is protected by their size; ours do not.
  const ties = scores ? { scores } : ours && { scores: ours, ...(columns && { columns }) };
  const keys = `keys.${ratio}.${layer}`;
  const expectedKeys = golden.has(keys) ? await golden.floats(keys) : undefined;
  return {
    ...(ours && scores && { scores: sameScores(ours, scores, source.kvHeads, tolerance, columns) }),
    kept: sameKept(result.kept, expected, {
      slack,
      tie: tolerance.relative,
      ...ties,
      ...(columns && { columns }),
    }),
    ...(expectedKeys && {
      keys: sameScores(result.keys ?? new Float32Array(), expectedKeys, 1, { relative: 1e-3, absolute: 1e-3 }),
    }),
  };
}

/** Kept slots per head of one layer of a mask [layers, kvHeads, tokens]. */
export async function keptOf(golden: GoldenFile, name: string, layer: number, kvHeads: number): Promise<number[][]> {
  const { shape, values } = await golden.read(name);
  const [, , tokens = 0] = shape;
  return Array.from({ length: kvHeads }, (_, head) => {
    const row = values.subarray((layer * kvHeads + head) * tokens, (layer * kvHeads + head + 1) * tokens);
    return Array.from(row.keys()).filter((slot) => row[slot] !== 0);
  });
}
