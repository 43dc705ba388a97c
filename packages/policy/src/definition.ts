import { KvsiftError } from '@kvsift/tensor';
import type { EvictionPolicy, ParameterValue } from './contract.js';
import { completeParameters, type ParameterSchema, type ParametersOf } from './parameters.js';

/** Where a policy was published. */
export interface Paper {
  readonly title: string;
  readonly authors: string;
  readonly venue: string;
  readonly url: string;
}

/** Parameter values under which a policy repeats a published implementation. */
export interface Profile {
  readonly description: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
}

/** Everything that is known about a policy besides its code: listings, READMEs and expressions are made from it. */
export interface PolicyDefinition<S extends ParameterSchema = ParameterSchema> {
  /** Name in expressions: `snapkv`. */
  readonly name: string;
  readonly title: string;
  /** Two sentences. */
  readonly idea: string;
  /** Absent: no paper; `source` says where it comes from. */
  readonly paper?: Paper;
  readonly source?: string;
  readonly parameters: S;
  /** What it reads of a layer. */
  readonly observes: string;
  /** Leading-order cost of `select` per layer. */
  readonly costs: string;
  /** Draws random numbers: another seed may keep other entries. */
  readonly seeded?: boolean;
  /** 'own': its parameters say what is kept, not the budget. Default 'exact'. */
  readonly budget?: 'exact' | 'own';
  /** When it evicts; 'decode' through the `decoding` wrapper. */
  readonly phases: readonly ('prefill' | 'decode')[];
  readonly profiles?: Readonly<Record<string, Profile>>;
  /** Where the default differs from the paper or its code, one sentence each. */
  readonly deviations?: readonly string[];
  /** Makes the policy from checked, complete parameters. */
  create(parameters: ParametersOf<S>): Omit<EvictionPolicy, 'name' | 'parameters'>;
}

/** Parameters as a caller writes them: all optional, plus a profile that replaces the defaults (`kv-head`: the defaults). */
export type PolicyOptions<S extends ParameterSchema> = Partial<ParametersOf<S>> & { readonly profile?: string };

/** Makes policies of one kind: `snapkv({ window: 32 })`. */
export interface PolicyFactory<S extends ParameterSchema, P> {
  (options?: PolicyOptions<S>): P;
  readonly definition: PolicyDefinition<S>;
}

/**
 * Turns a definition into a function that makes policies.
 * @throws KvsiftError `policy_invalid` (from the function) for parameters or profiles that do not exist or do not fit
 */
export function definePolicy<const S extends ParameterSchema, B extends Omit<EvictionPolicy, 'name' | 'parameters'>>(
  definition: Omit<PolicyDefinition<S>, 'create'> & { create(parameters: ParametersOf<S>): B },
): PolicyFactory<S, B & Pick<EvictionPolicy, 'name' | 'parameters'>> {
  const make = (options: PolicyOptions<S> = {}) => {
    const { profile, ...given } = options;
    const parameters = completeParameters(definition.name, definition.parameters, {
      ...profileParameters(definition, profile),
      ...given,
    });
    const body = definition.create(parameters);
    const values: readonly unknown[] = Object.values(parameters);
    const wrapped = values.filter((value) => typeof value === 'object' && value !== null && 'begin' in value);
    const ignores = wrapped.length > 0 && wrapped.every((policy) => (policy as EvictionPolicy).ignoresBudget === true);
    return {
      ...(ignores && { ignoresBudget: true }),
      ...body,
      name: definition.name,
      parameters: parameters as Readonly<Record<string, ParameterValue>>,
    };
  };
  return Object.assign(make, { definition });
}

function profileParameters(
  { name, profiles = {} }: Pick<PolicyDefinition, 'name' | 'profiles'>,
  profile: string | undefined,
): Readonly<Record<string, ParameterValue>> {
  // The defaults themselves: scores and sets per KV head, whatever published code does per query head.
  if (profile === undefined || profile === 'kv-head') return {};
  const found = profiles[profile];
  if (found !== undefined) return found.parameters;
  const known = ['kv-head', ...Object.keys(profiles)].join(', ');
  throw new KvsiftError('policy_invalid', `${name} has no profile '${profile}'; it has: ${known}`, { policy: name, profile });
}
