import { KvsiftError } from '@kvsift/tensor';
import type { EvictionPolicy, ModelShape, ParameterValue } from './contract.js';
import { isScored, type ScoredPolicy } from './scored.js';

interface Described {
  /** What it does, with its effect. */
  readonly description: string;
  /** tokens, entries, share … */
  readonly unit?: string;
}

/** What one parameter of a policy may be. */
export type ParameterDefinition = Described &
  (
    | {
        readonly kind: 'integer' | 'number';
        readonly default: number;
        readonly min?: number;
        readonly max?: number;
        readonly odd?: boolean;
      }
    | { readonly kind: 'choice'; readonly choices: readonly string[]; readonly default: string }
    | { readonly kind: 'flag'; readonly default: boolean }
    | { readonly kind: 'text'; readonly default: string }
    | { readonly kind: 'numbers'; readonly default: readonly number[]; readonly min?: number; readonly max?: number }
    /** A wrapped policy; absent default: must be given. */
    | { readonly kind: 'policy'; readonly default?: () => EvictionPolicy }
    /** Likewise, of the kind that scores entries. */
    | { readonly kind: 'scored'; readonly default?: () => ScoredPolicy }
  );

/** Parameters of a policy by name. */
export type ParameterSchema = Readonly<Record<string, ParameterDefinition>>;

type ValueOf<D extends ParameterDefinition> = D extends { kind: 'integer' | 'number' }
  ? number
  : D extends { kind: 'choice'; choices: readonly (infer C)[] }
    ? C
    : D extends { kind: 'flag' }
      ? boolean
      : D extends { kind: 'text' }
        ? string
        : D extends { kind: 'numbers' }
          ? readonly number[]
          : D extends { kind: 'scored' }
            ? ScoredPolicy
            : EvictionPolicy;

/** Values of all parameters of a schema. */
export type ParametersOf<S extends ParameterSchema> = { readonly [K in keyof S]: ValueOf<S[K]> };

/**
 * Checks given values against a schema and fills in defaults.
 * @throws KvsiftError `policy_invalid` naming the policy, the parameter, what was expected and what came
 */
export function completeParameters<S extends ParameterSchema>(
  policy: string,
  schema: S,
  given: Readonly<Record<string, unknown>>,
): ParametersOf<S> {
  for (const name of Object.keys(given)) {
    if (schema[name] === undefined) throw unknownParameter(policy, schema, name);
  }
  const values = Object.entries(schema).map(([name, definition]) => {
    const value = given[name] ?? defaultOf(definition);
    if (value === undefined)
      throw new KvsiftError('policy_invalid', `${policy} wraps another policy: ${policy}(snapkv), for example`);
    const wrong = problem(definition, value);
    if (wrong !== undefined) {
      throw new KvsiftError('policy_invalid', `${policy}: ${name} must be ${wrong}, not ${show(value)}`, {
        policy,
        parameter: name,
      });
    }
    return [name, value];
  });
  return Object.fromEntries(values) as ParametersOf<S>;
}

/** Checks a list of layers against the model, which is known once a run begins. @throws KvsiftError `policy_invalid` where a parameter names a layer that the model does not have */
export function demandLayers(
  policy: string,
  parameter: string,
  given: readonly number[],
  { layers }: Pick<ModelShape, 'layers'>,
): void {
  const missing = given.find((layer) => !Number.isInteger(layer) || layer >= layers);
  if (missing === undefined) return;
  throw new KvsiftError(
    'policy_invalid',
    `${policy}: ${parameter} must name layers of the model, 0 to ${layers - 1}, not ${missing}`,
    { policy, parameter },
  );
}

/** The error for a name that a schema does not have. */
export function unknownParameter(policy: string, schema: ParameterSchema, name: string): KvsiftError {
  const known = Object.keys(schema).join(', ') || 'none';
  return new KvsiftError('policy_invalid', `${policy} has no parameter '${name}'; it has: ${known}`, {
    policy,
    parameter: name,
  });
}

/** Default of a parameter; undefined for a wrapped policy that must be given. */
export function defaultOf(definition: ParameterDefinition): ParameterValue | undefined {
  return typeof definition.default === 'function' ? definition.default() : definition.default;
}

/** What was expected, or undefined where the value fits. */
function problem(definition: ParameterDefinition, value: unknown): string | undefined {
  switch (definition.kind) {
    case 'integer':
    case 'number':
      return numberProblem(definition, value);
    case 'choice':
      return definition.choices.includes(value as string) ? undefined : `one of ${definition.choices.join(', ')}`;
    case 'flag':
      return typeof value === 'boolean' ? undefined : 'true or false';
    case 'text':
      return typeof value === 'string' ? undefined : 'a text';
    case 'numbers': {
      const wrong = Array.isArray(value)
        ? value.map((item) => numberProblem({ ...definition, kind: 'number' }, item))
        : ['numbers'];
      const first = wrong.find((text) => text !== undefined);
      return first === undefined ? undefined : `a list of numbers [0.2, 0.5], each ${first}`;
    }
    case 'policy':
      return isPolicy(value) ? undefined : 'a policy';
    case 'scored':
      return isPolicy(value) && isScored(value) ? undefined : 'a policy that scores entries (snapkv, knorm, ...)';
  }
}

function numberProblem(
  { kind, min, max, odd }: { kind: string; min?: number; max?: number; odd?: boolean },
  value: unknown,
): string | undefined {
  const whole = kind === 'integer';
  const fits =
    typeof value === 'number' &&
    (whole ? Number.isSafeInteger(value) : !Number.isNaN(value)) &&
    value >= (min ?? Number.NEGATIVE_INFINITY) &&
    value <= (max ?? Number.POSITIVE_INFINITY) &&
    !(odd && value % 2 === 0);
  if (fits) return undefined;
  const range = [min === undefined ? '' : `from ${min}`, max === undefined ? '' : `up to ${max}`].filter(Boolean).join(' ');
  return `${odd ? 'an odd integer' : whole ? 'an integer' : 'a number'}${range && ` ${range}`}`;
}

function isPolicy(value: unknown): value is EvictionPolicy {
  return typeof value === 'object' && value !== null && 'begin' in value && 'name' in value;
}

function show(value: unknown): string {
  return isPolicy(value) ? `the policy ${value.name}` : JSON.stringify(value);
}
