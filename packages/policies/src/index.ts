// Written by tools/policies/catalogue.mjs; run it after adding a policy package.

import { type AnyPolicyFactory, createRegistry, type PolicyRegistry, type Preset } from '@kvsift/policy';
import { expectedAttention } from '@kvsift/policy-expected-attention';
import { full } from '@kvsift/policy-full';
import { h2o, observedAttention } from '@kvsift/policy-h2o';
import { keydiff } from '@kvsift/policy-keydiff';
import { knorm } from '@kvsift/policy-knorm';
import { lagkv } from '@kvsift/policy-lagkv';
import { pyramidkv } from '@kvsift/policy-pyramidkv';
import { random } from '@kvsift/policy-random';
import { snapkv } from '@kvsift/policy-snapkv';
import { streamingLlm } from '@kvsift/policy-streaming-llm';
import { tova } from '@kvsift/policy-tova';

/** Every policy of kvsift: what `createRegistry` takes. */
export const policies: readonly AnyPolicyFactory[] = [
  expectedAttention,
  full,
  h2o,
  observedAttention,
  keydiff,
  knorm,
  lagkv,
  pyramidkv,
  random,
  snapkv,
  streamingLlm,
  tova,
];

/** Named expressions of the policy packages. */
export const presets: readonly Preset[] = [];

/** A registry of all policies, optionally with further ones. */
export function allPolicies(further: readonly AnyPolicyFactory[] = []): PolicyRegistry {
  return createRegistry([...policies, ...further], presets);
}
