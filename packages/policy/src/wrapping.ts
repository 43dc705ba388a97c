import { KvsiftError } from '@kvsift/tensor';
import type { EvictionPolicy, PolicyRun, PolicyTrait, SequenceContext } from './contract.js';

const meanings: Readonly<Record<PolicyTrait, string>> = {
  cascade: 'shrinks earlier layers again',
  decode: 'evicts while decoding',
  compensation: 'corrects attention by what it holds beside the cache',
  retrieval: 'chooses what each step reads',
  reread: 'reads the prompt twice',
  segments: 'reads the prompt part by part',
  renumbering: 'gives the survivors new positions',
  merging: 'adds what it evicts to what it keeps',
};

/** What a run does besides choosing each layer's survivors once, but for `merging`, which only its decisions show. */
export function traitsOf(run: PolicyRun): PolicyTrait[] {
  const has: Readonly<Record<PolicyTrait, boolean>> = {
    cascade: run.revise !== undefined,
    decode: run.decode !== undefined,
    compensation: run.compensation !== undefined,
    retrieval: run.retrieval !== undefined,
    reread: run.reread !== undefined,
    segments: run.segments !== undefined,
    renumbering: run.nextPosition === 'kept',
    merging: false,
  };
  return (Object.keys(has) as PolicyTrait[]).filter((trait) => has[trait]);
}

/**
 * For wrappers of any policy that keeps the same number in every head: how its runs begin, once it is sure that it does nothing that the wrapper
 * could not go along with.
 * @param never what the wrapped policy must not do
 * @throws KvsiftError `policy_invalid`, here for what the policy says of itself, from the returned function for what it does all the same
 */
export function wrapping(
  wrapper: string,
  policy: EvictionPolicy,
  never: readonly PolicyTrait[],
): (context: SequenceContext) => PolicyRun {
  const demand = (expected: string, came: string) => {
    throw new KvsiftError('policy_invalid', `${wrapper} needs a policy that ${expected}; ${policy.name} ${came}`, {
      policy: policy.name,
    });
  };
  const refuse = (traits: readonly PolicyTrait[]) => {
    const found = never.find((trait) => traits.includes(trait));
    if (found !== undefined) demand('only chooses survivors', meanings[found]);
  };
  if (policy.ragged) demand('keeps the same number in every head', 'is ragged');
  refuse(policy.traits ?? []);
  return (context) => {
    const run = policy.begin(context);
    try {
      refuse(traitsOf(run));
    } catch (error) {
      run.dispose();
      throw error;
    }
    return run;
  };
}
