import { type EvictionPolicy, isScored, keepBest, type LayerView, type ScoredPolicy } from '@kvsift/policy';
import { adakv } from '@kvsift/policy-adakv';
import { chunkkv } from '@kvsift/policy-chunkkv';
import { compactor, compactorScores, leverage, leverageScores, noncausal, standardised } from '@kvsift/policy-compactor';
import { criticalAdakv, criticalkv } from '@kvsift/policy-criticalkv';
import { cur } from '@kvsift/policy-cur';
import { expectedAttention } from '@kvsift/policy-expected-attention';
import { finch } from '@kvsift/policy-finch';
import { observedAttention } from '@kvsift/policy-h2o';
import { keydiff } from '@kvsift/policy-keydiff';
import { knorm } from '@kvsift/policy-knorm';
import { lagkv } from '@kvsift/policy-lagkv';
import { pyramidkv } from '@kvsift/policy-pyramidkv';
import { rerotate } from '@kvsift/policy-rerotate';
import { simlayerkv } from '@kvsift/policy-simlayerkv';
import { snapkv } from '@kvsift/policy-snapkv';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import { tova } from '@kvsift/policy-tova';
import type { Tensor } from '@kvsift/tensor';
import { z } from 'zod';
import { type ScoreTolerance, usualTolerance } from '../compare.js';

/** How a press of the goldens is checked. */
export interface PressCheck {
  readonly policy: EvictionPolicy;
  /** Whose scores the golden holds; absent: none are compared. */
  readonly scorer?: ScoredPolicy;
  readonly tolerance: ScoreTolerance;
  /** Scores are multiples of this (ranks): noise in the inputs moves them by one step. */
  readonly step?: number;
  /** Entries per head by which chained decisions may differ. */
  readonly slack: number;
}

/** The drawn sketch of a layer, where a press has one. */
export type Sketch = (view: LayerView) => Tensor;

const window = z.strictObject({ window_size: z.int(), kernel_size: z.int() });
const expected = z.strictObject({
  n_future_positions: z.int(),
  n_sink: z.int(),
  use_covariance: z.boolean().default(true),
  use_vnorm: z.boolean().default(true),
  epsilon: z.number().default(0),
});
const safeguard = z.number();

function snap(values: z.infer<typeof window>): ScoredPolicy {
  return snapkv({ profile: 'kvpress', window: values.window_size, kernelSize: values.kernel_size });
}

function expectedPolicy(values: z.infer<typeof expected>): ScoredPolicy {
  return expectedAttention({
    futurePositions: values.n_future_positions,
    sinks: values.n_sink,
    covariance: values.use_covariance,
    valueNorm: values.use_vnorm,
    epsilon: values.epsilon,
  });
}

function plain(policy: EvictionPolicy, options: Partial<PressCheck> = {}): PressCheck {
  return { policy, ...(isScored(policy) && { scorer: policy }), tolerance: usualTolerance, slack: 0, ...options };
}

/** A scored policy whose random part is replaced by the golden's. */
function sketched(policy: ScoredPolicy, score: (view: LayerView) => Promise<Tensor>): EvictionPolicy {
  const start = policy.scoring.start;
  const scoring = { ...policy.scoring, start: (context: Parameters<typeof start>[0]) => ({ ...start(context), score }) };
  return { name: policy.name, parameters: policy.parameters, ...keepBest(policy.name, scoring) };
}

const rough: ScoreTolerance = { relative: 1e-2, absolute: 1e-3 };

/** Presses by name (what precedes a variant's suffix). Each parses its own parameters. */
const presses: Readonly<Record<string, (params: unknown, ratio: number, sketch: Sketch) => PressCheck>> = {
  knorm: (params) =>
    plain(
      z
        .strictObject({})
        .transform(() => knorm())
        .parse(params),
    ),
  snapkv: (params) => plain(snap(window.parse(params))),
  tova: (params) =>
    plain(
      z
        .strictObject({})
        .transform(() => tova({ protectNewest: true }))
        .parse(params),
    ),
  'observed-attention': (params) =>
    plain(
      z
        .strictObject({})
        .transform(() => observedAttention())
        .parse(params),
    ),
  streamingllm: (params) => {
    const { scorer: _ones, ...check } = plain(streamingLlm({ sinks: z.strictObject({ n_sink: z.int() }).parse(params).n_sink }));
    return check;
  },
  pyramidkv: (params) => {
    const { beta, ...inner } = window.extend({ beta: z.number() }).parse(params);
    return plain(pyramidkv({ policy: snap(inner), beta, form: 'kvpress' }));
  },
  'expected-attention': (params) => plain(expectedPolicy(expected.parse(params))),
  keydiff: (params) =>
    plain(
      z
        .strictObject({})
        .transform(() => keydiff())
        .parse(params),
    ),
  'block-keydiff': (params) =>
    plain(keydiff({ blockSize: z.strictObject({ block_size: z.int() }).parse(params).block_size }), { slack: 2 }),
  lagkv: (params) => {
    const schema = z.strictObject({ n_sink: z.int(), lag_size: z.int(), cross_scoring: z.boolean().default(false) });
    const values = schema.parse(params);
    const policy = lagkv({ sinks: values.n_sink, lag: values.lag_size, scoring: values.cross_scoring ? 'cross' : 'rank' });
    return plain(policy, values.cross_scoring ? {} : { step: 1 / values.lag_size });
  },
  'chunkkv-snapkv': (params) => {
    const values = z.strictObject({ chunk_length: z.int(), inner: window }).parse(params);
    const scorer = snap(values.inner);
    return plain(chunkkv({ policy: scorer, chunk: values.chunk_length, whole: true }), { scorer });
  },
  'adakv-snapkv': (params) => {
    const values = z.strictObject({ alpha_safeguard: safeguard, inner: window }).parse(params);
    const scorer = snap(values.inner);
    return plain(adakv({ policy: scorer, floor: values.alpha_safeguard, form: 'safeguard' }), { scorer, slack: 2 });
  },
  'adakv-expected-attention': (params) => {
    const values = z.strictObject({ alpha_safeguard: safeguard, inner: expected }).parse(params);
    const scorer = expectedPolicy(values.inner);
    return plain(adakv({ policy: scorer, floor: values.alpha_safeguard, form: 'safeguard' }), { scorer, slack: 2 });
  },
  'criticalkv-snapkv': (params) => {
    const schema = z.strictObject({ epsilon: z.number(), first_stage_ratio: z.number(), inner: window });
    const values = schema.parse(params);
    return plain(criticalkv({ policy: snap(values.inner), epsilon: values.epsilon, firstStage: values.first_stage_ratio }), {
      slack: 2,
    });
  },
  'criticaladakv-snapkv': (params) => {
    const schema = z.strictObject({
      alpha_safeguard: safeguard,
      epsilon: z.number(),
      first_stage_ratio: z.number(),
      inner: window,
    });
    const values = schema.parse(params);
    const scorer = snap(values.inner);
    const { epsilon, first_stage_ratio: firstStage, alpha_safeguard: floor } = values;
    return plain(criticalAdakv({ policy: scorer, epsilon, firstStage, floor }), { scorer, slack: 2 });
  },
  simlayerkv: (params) => {
    const schema = z.strictObject({ lazy_threshold: z.number(), n_recent: z.int(), n_initial: z.int(), n_last: z.int() });
    const { lazy_threshold: threshold, n_recent: recent, n_initial: sinks, n_last: lastQueries } = schema.parse(params);
    return plain(simlayerkv({ threshold, recent, sinks, lastQueries, kept: 'recent-minus-queries' }));
  },
  leverage: (params, _ratio, sketch) => {
    const { sketch_dimension } = z.strictObject({ sketch_dimension: z.int() }).parse(params);
    const policy = leverage({ sketch: sketch_dimension });
    return plain(
      sketched(policy, async (view) => standardised(view.backend, await leverageScores(view, sketch(view)))),
      { tolerance: rough, slack: 2 },
    );
  },
  noncausal: (params) => {
    const { chunk_size } = z.strictObject({ chunk_size: z.int() }).parse(params);
    return plain(noncausal({ chunk: chunk_size }), { tolerance: { relative: 1e-3, absolute: 1e-4 } });
  },
  compactor: (params, ratio, sketch) => {
    const schema = z.strictObject({
      chunk_size: z.int(),
      sketch_dimension: z.int(),
      sink_size_start: z.int(),
      sink_size_end: z.int(),
    });
    const { chunk_size: chunk, sketch_dimension, sink_size_start: sinks, sink_size_end: recent } = schema.parse(params);
    const policy = compactor({ chunk, sketch: sketch_dimension, sinks, recent });
    return plain(
      sketched(policy, (view) => compactorScores(view, sketch(view), { chunk, sinks, recent, weight: ratio })),
      { tolerance: rough, slack: 2 },
    );
  },
  cur: (params) => {
    const values = z.strictObject({ num_sinks: z.int(), local_window_size: z.int() }).parse(params);
    return plain(cur({ sinks: values.num_sinks, neighbourhood: values.local_window_size }));
  },
  'rerotate-knorm': (params) => {
    const scorer = knorm();
    return plain(
      z
        .strictObject({})
        .transform(() => rerotate({ policy: scorer }))
        .parse(params),
      { scorer },
    );
  },
  finch: (params) => {
    const schema = z.strictObject({ window_size: z.int(), normalize_scores: z.boolean(), rerotate_keys: z.boolean() });
    const values = schema.parse(params);
    const own = plain(finch({ question: values.window_size, normalise: values.normalize_scores }));
    return values.rerotate_keys ? { ...own, policy: rerotate({ policy: own.policy }) } : own;
  },
};

/** The check of a press; variants (`snapkv-a`, `lagkv-cross`) belong to the longest name that they begin with. Undefined: not known. */
export function pressCheck(name: string, params: unknown, ratio: number, sketch: Sketch): PressCheck | undefined {
  const known = Object.keys(presses).filter((press) => name === press || name.startsWith(`${press}-`));
  const longest = known.sort((a, b) => b.length - a.length)[0];
  return longest === undefined ? undefined : presses[longest]?.(params, ratio, sketch);
}
