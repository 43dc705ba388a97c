import { isScored } from '@kvsift/policy';
import { chunkColumns, leverageScores } from '@kvsift/policy-compactor';
import { cur } from '@kvsift/policy-cur';
import { keydiff } from '@kvsift/policy-keydiff';
import { knorm } from '@kvsift/policy-knorm';
import { lagkv } from '@kvsift/policy-lagkv';
import { perChunk } from '@kvsift/policy-per-chunk';
import { rerotate } from '@kvsift/policy-rerotate';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import { evict, viewNumbers } from '@kvsift/policy-testkit';
import { z } from 'zod';
import type { Finding } from '../../forward/compare.js';
import type { Family, FamilyRun } from '../case-file.js';
import { sameScores, usualTolerance } from '../compare.js';
import { checkScored, keeping } from './scored.js';
import { gap } from './snapkv.js';

const base = { case: z.string(), input: z.string(), gap };
const ratio = z.number();
const schema = z.discriminatedUnion('policy', [
  z.strictObject({ ...base, policy: z.literal('knorm'), ratio }),
  z.strictObject({ ...base, policy: z.literal('keydiff'), ratio }),
  z.strictObject({ ...base, policy: z.literal('cur'), ratio, sinks: z.int(), window: z.int() }),
  z.strictObject({ ...base, policy: z.literal('streamingllm'), ratio, sinks: z.int() }),
  z.strictObject({ ...base, policy: z.literal('lagkv'), ratio, sinks: z.int(), lag: z.int(), cross: z.boolean() }),
  z.strictObject({ ...base, policy: z.literal('block-keydiff'), ratio, block: z.int() }),
  z.strictObject({ ...base, policy: z.literal('chunk-knorm'), ratio, chunk: z.int() }),
  z.strictObject({ ...base, policy: z.literal('rerotate-knorm'), ratio, theta: z.number() }),
  z.strictObject({ ...base, policy: z.literal('noncausal-columns'), chunk: z.int() }),
  z.strictObject({ ...base, policy: z.literal('leverage'), sketch: z.int() }),
]);
type TensorCase = z.infer<typeof schema>;

/** Presses on bare tensors. */
export const kvpressTensorsFamily: Family<TensorCase> = {
  schema,
  check(run, values) {
    if (values.policy === 'noncausal-columns') return checkColumns(run, values);
    if (values.policy === 'leverage') return checkLeverage(run, values);
    return checkPress(run, values);
  },
};

type PressCase = Exclude<TensorCase, { policy: 'noncausal-columns' | 'leverage' }>;

function policyOf(values: PressCase) {
  switch (values.policy) {
    case 'knorm':
      return knorm();
    case 'keydiff':
      return keydiff();
    case 'cur':
      return cur({ sinks: values.sinks, neighbourhood: values.window });
    case 'streamingllm':
      return streamingLlm({ sinks: values.sinks });
    case 'lagkv':
      return lagkv({ sinks: values.sinks, lag: values.lag, scoring: values.cross ? 'cross' : 'rank' });
    case 'block-keydiff':
      return keydiff({ blockSize: values.block });
    case 'chunk-knorm':
      return perChunk({ policy: knorm(), chunk: values.chunk });
    case 'rerotate-knorm':
      return rerotate({ policy: knorm() });
  }
}

async function checkPress(run: FamilyRun, values: PressCase): Promise<Record<string, Finding>> {
  const policy = policyOf(values);
  const plain = await run.input(values.input);
  const inputs =
    values.policy === 'rerotate-knorm'
      ? { ...plain, inverseFrequencies: await run.golden.floats(`${values.case}.invFreq`) }
      : plain;
  const first = isScored(policy) ? policy.scoring.protect.first : 0;
  const scored = {
    case: values.case,
    policy,
    inputs,
    budget: keeping(values.ratio),
    counting: 'kvpress' as const,
    // Positions stand for the scores of StreamingLLM, ones in kvpress: only what is kept compares.
    columns: { first, end: values.policy === 'streamingllm' ? first : inputs.length },
    slack: values.policy === 'block-keydiff' ? 2 : 0,
  };
  const findings = await checkScored(run, scored);
  if (values.policy !== 'rerotate-knorm') return findings;
  const expected = await run.golden.floats(`${values.case}.keys`);
  const { keys } = await evict(run.backend, policy, inputs, scored);
  return { ...findings, keys: sameScores(keys ?? new Float32Array(), expected, 1, { relative: 1e-4, absolute: 1e-5 }) };
}

async function checkColumns(
  run: FamilyRun,
  values: Extract<TensorCase, { policy: 'noncausal-columns' }>,
): Promise<Record<string, Finding>> {
  const inputs = await run.input(values.input);
  const expected = await run.golden.floats(`${values.case}.columns`);
  const ours = await viewNumbers(run.backend, inputs, { queries: 'all' }, (view) => chunkColumns(view, values.chunk));
  return { columns: sameScores(ours, expected, inputs.queryHeads, usualTolerance) };
}

async function checkLeverage(
  run: FamilyRun,
  values: Extract<TensorCase, { policy: 'leverage' }>,
): Promise<Record<string, Finding>> {
  const plain = await run.input(values.input);
  // The golden gives bare keys: they stand for the keys before rotation.
  const inputs = { ...plain, keysBeforeRotation: plain.keys };
  const phi = await run.golden.read(`${values.case}.phi`);
  const expected = await run.golden.floats(`${values.case}.scores`);
  const ours = await viewNumbers(run.backend, inputs, { keysBeforeRotation: true }, (view) =>
    leverageScores(view, view.backend.upload(phi.values, 'f32', phi.shape)),
  );
  return { scores: sameScores(ours, expected, inputs.kvHeads, { relative: 1e-2, absolute: 1e-6 }) };
}
