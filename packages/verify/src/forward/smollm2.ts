import type { LanguageModel } from '@kvsift/engine';
import { closeRelative, closeTo, sameTop } from './compare.js';
import type { GoldenFile } from './golden-file.js';
import { observedPrefill } from './pass.js';
import { type Check, norm } from './tiny.js';

/** Tolerances of the forward README by prompt length. */
function tolerances(length: number): { readonly absolute: number; readonly norms: number } {
  if (length <= 512) return { absolute: 2e-4, norms: 2e-6 };
  return length <= 1500 ? { absolute: 4e-4, norms: 2e-5 } : { absolute: 1.5e-3, norms: 2e-5 };
}

/** Below this margin a float32 engine may choose the other token, and everything after it differs. */
const nearTie = 3e-3;

/** Compares the real model: last logits, negative log-likelihoods, residual norms, top ids, cache, greedy continuation. */
export async function checkSmolLm2(model: LanguageModel, golden: GoldenFile, check: Check): Promise<void> {
  const ids = await golden.integers('input_ids');
  const { absolute, norms } = tolerances(ids.length);
  const topIds = golden.has('top20_ids') ? (await golden.read('top20_ids')).values : undefined;
  const topLogits = golden.has('top20_logits') ? (await golden.read('top20_logits')).values : undefined;
  const nll = await golden.read('nll');
  const ourNll = new Float32Array(ids.length - 1);
  const found: { top?: string; topLogits?: string; last?: Float32Array } = {};
  const kvLayers = golden.names.flatMap((name) => /^k_(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  using session = model.session({ kvType: 'f32' });
  const pass = await observedPrefill(model, session, ids, {
    kvLayers,
    firstLogits: 0,
    onLogits(position, row) {
      if (position + 1 < ids.length) ourNll[position] = logSumExp(row) - (row[ids[position + 1] ?? 0] ?? 0);
      else found.last = row.slice();
      const expected = topIds?.subarray(position * 20, position * 20 + 20);
      if (expected === undefined) return;
      const finding = sameTop(row, expected, absolute);
      if (finding !== undefined) found.top ??= `position ${position}: ${finding}`;
      const values = closeTo(
        Array.from(expected, (id) => row[id] ?? 0),
        topLogits?.subarray(position * 20, position * 20 + 20) ?? [],
        absolute,
        [20],
      );
      if (values !== undefined) found.topLogits ??= `position ${position}: ${values}`;
    },
  });
  const last = await golden.read('logits_last');
  check('logits_last', closeTo(found.last ?? [], last.values, absolute, last.shape));
  check('nll', closeTo(ourNll, nll.values, absolute, nll.shape));
  if (topIds !== undefined) check('top20_ids', found.top);
  if (topLogits !== undefined) check('top20_logits', found.topLogits);
  const lengths = await golden.read('hidden_norm');
  check('hidden_norm', closeRelative(pass.hiddenLast.map(norm), lengths.values, norms, lengths.shape));
  const hidden = await golden.read('hidden_last');
  check('hidden_last', closeTo(pass.hiddenLast.at(-1) ?? [], hidden.values, absolute, hidden.shape));
  for (const layer of kvLayers) {
    const keys = await golden.read(`k_${layer}`);
    const values = await golden.read(`v_${layer}`);
    check(`k_${layer}`, closeTo(pass.keys.get(layer) ?? [], keys.values, absolute, keys.shape));
    check(`v_${layer}`, closeTo(pass.values.get(layer) ?? [], values.values, absolute, values.shape));
  }
  const greedy = await golden.integers('greedy_ids');
  const margins = await golden.floats('greedy_margin');
  const ours: number[] = [];
  for await (const { id } of session.generate({ maxTokens: greedy.length, ignoreEos: true })) ours.push(id);
  const difference = greedy.findIndex((id, step) => id !== ours[step]);
  const excused = difference >= 0 && (margins[difference] ?? 0) < nearTie;
  check(
    'greedy_ids',
    difference < 0 || excused
      ? undefined
      : `step ${difference}: id ${ours[difference]} instead of ${greedy[difference]}, margin ${margins[difference]}`,
  );
}

function logSumExp(row: Float32Array): number {
  let top = Number.NEGATIVE_INFINITY;
  for (const value of row) if (value > top) top = value;
  let sum = 0;
  for (const value of row) sum += Math.exp(value - top);
  return top + Math.log(sum);
}
