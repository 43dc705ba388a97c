import type { LanguageModel } from '@kvsift/engine';
import { ropeTable } from '@kvsift/models';
import { closeRelative, closeTo, type Finding, sameTop } from './compare.js';
import type { GoldenFile } from './golden-file.js';
import { observedPrefill } from './pass.js';

/** Reports one compared quantity. */
export type Check = (quantity: string, finding: Finding) => void;

/** Tolerances of the forward README, section "Tolerance". */
const absolute = 3e-4;
const norms = 2e-6;

/** Compares a small model with its golden: logits, top ids, decoding, cache, residual stream, rope frequencies. */
export async function checkTiny(model: LanguageModel, golden: GoldenFile, check: Check): Promise<void> {
  const { config } = model.decoder;
  const ids = await golden.integers('input_ids');
  const logits = await golden.read('logits');
  const top = await golden.read('top5');
  const lastLayer = config.layers.length - 1;
  const rows = logits.shape[0] ?? 0;
  const vocabulary = logits.shape[1] ?? 0;
  const ours = new Float32Array(rows * vocabulary);
  const topFindings: string[] = [];
  using session = model.session({ kvType: 'f32' });
  const pass = await observedPrefill(model, session, ids, {
    kvLayers: [0, lastLayer],
    firstLogits: 0,
    onLogits(position, row) {
      const finding = sameTop(row, top.values.subarray(position * 5, position * 5 + 5), absolute);
      if (finding !== undefined) topFindings.push(`position ${position}: ${finding}`);
      const at = position - (ids.length - rows);
      if (at >= 0) ours.set(row, at * vocabulary);
    },
  });
  check('logits', closeTo(ours, logits.values, absolute, logits.shape));
  check('top5', topFindings[0]);
  for (const [name, layer] of [
    ['first', 0],
    ['last', lastLayer],
  ] as const) {
    const keys = await golden.read(`k_${name}`);
    const values = await golden.read(`v_${name}`);
    check(`k_${name}`, closeTo(pass.keys.get(layer) ?? [], keys.values, absolute, keys.shape));
    check(`v_${name}`, closeTo(pass.values.get(layer) ?? [], values.values, absolute, values.shape));
  }
  const hidden = await golden.read('hidden_last');
  check(
    'hidden_last',
    closeTo(
      pass.hiddenLast.flatMap((row) => [...row]),
      hidden.values,
      absolute,
      hidden.shape,
    ),
  );
  const lengths = await golden.read('hidden_norm');
  check('hidden_norm', closeRelative(pass.hiddenLast.map(norm), lengths.values, norms, lengths.shape));
  await checkDecode(session, golden, check);
  await checkRope(model, golden, ids.length, check);
}

async function checkDecode(
  session: { force(id: number): Promise<Float32Array> },
  golden: GoldenFile,
  check: Check,
): Promise<void> {
  const ids = await golden.integers('decode_ids');
  const expected = await golden.read('decode_logits');
  const rows: number[] = [];
  for (const id of ids) for (const value of await session.force(id)) rows.push(value);
  check('decode_logits', closeTo(rows, expected.values, absolute, expected.shape));
}

async function checkRope(model: LanguageModel, golden: GoldenFile, length: number, check: Check): Promise<void> {
  const { layers } = model.decoder.config;
  const kinds: readonly (readonly [string, (window: number | undefined) => boolean])[] = [
    ['inv_freq', () => true],
    ['inv_freq_full_attention', (window) => window === undefined],
    ['inv_freq_sliding_attention', (window) => window !== undefined],
  ];
  for (const [name, belongs] of kinds) {
    const layer = layers.find(({ window }) => belongs(window));
    if (!golden.has(name) || layer === undefined) continue;
    const expected = await golden.read(name);
    check(name, closeRelative(ropeTable(layer.rope, length).inverseFrequencies, expected.values, 1e-6, expected.shape));
  }
}

export function norm(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}
