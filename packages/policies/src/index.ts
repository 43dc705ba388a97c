// Written by tools/policies/catalogue.mjs; run it after adding a policy package.

import { type AnyPolicyFactory, createRegistry, type PolicyRegistry, type Preset } from '@kvsift/policy';
import { adakv, adaPresets } from '@kvsift/policy-adakv';
import { cake } from '@kvsift/policy-cake';
import { chunkkv } from '@kvsift/policy-chunkkv';
import { compactor, leverage, noncausal } from '@kvsift/policy-compactor';
import { criticalAdakv, criticalkv } from '@kvsift/policy-criticalkv';
import { cur } from '@kvsift/policy-cur';
import { decoding, phases } from '@kvsift/policy-decoding';
import { duoAttention } from '@kvsift/policy-duo-attention';
import { expectedAttention } from '@kvsift/policy-expected-attention';
import { finch, finchPresets } from '@kvsift/policy-finch';
import { full } from '@kvsift/policy-full';
import { h2o, observedAttention } from '@kvsift/policy-h2o';
import { headkv } from '@kvsift/policy-headkv';
import { keydiff } from '@kvsift/policy-keydiff';
import { knorm } from '@kvsift/policy-knorm';
import { kvzip } from '@kvsift/policy-kvzip';
import { lagkv } from '@kvsift/policy-lagkv';
import { merging } from '@kvsift/policy-merging';
import { minicache } from '@kvsift/policy-minicache';
import { nacl } from '@kvsift/policy-nacl';
import { perChunk } from '@kvsift/policy-per-chunk';
import { perLayer } from '@kvsift/policy-per-layer';
import { pyramidkv } from '@kvsift/policy-pyramidkv';
import { qFilters } from '@kvsift/policy-q-filters';
import { quest } from '@kvsift/policy-quest';
import { random } from '@kvsift/policy-random';
import { ratchet } from '@kvsift/policy-ratchet';
import { rerotate } from '@kvsift/policy-rerotate';
import { scissorhands } from '@kvsift/policy-scissorhands';
import { sequence } from '@kvsift/policy-sequence';
import { simlayerkv } from '@kvsift/policy-simlayerkv';
import { snapkv } from '@kvsift/policy-snapkv';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import { think } from '@kvsift/policy-think';
import { threshold } from '@kvsift/policy-threshold';
import { tova } from '@kvsift/policy-tova';

export { policyOf, registryFor, withAbsoluteSource } from './external.js';

/** Every policy of kvsift: what `createRegistry` takes. */
export const policies: readonly AnyPolicyFactory[] = [
  adakv,
  cake,
  chunkkv,
  leverage,
  noncausal,
  compactor,
  criticalkv,
  criticalAdakv,
  cur,
  decoding,
  phases,
  duoAttention,
  expectedAttention,
  finch,
  full,
  h2o,
  observedAttention,
  headkv,
  keydiff,
  knorm,
  kvzip,
  lagkv,
  merging,
  minicache,
  nacl,
  perChunk,
  perLayer,
  pyramidkv,
  qFilters,
  quest,
  random,
  ratchet,
  rerotate,
  scissorhands,
  sequence,
  simlayerkv,
  snapkv,
  streamingLlm,
  think,
  threshold,
  tova,
];

/** Named expressions of the policy packages. */
export const presets: readonly Preset[] = [...adaPresets, ...finchPresets];

/** A registry of all policies, optionally with further ones. */
export function allPolicies(further: readonly AnyPolicyFactory[] = []): PolicyRegistry {
  return createRegistry([...policies, ...further], presets);
}
