import { KvsiftError } from '@kvsift/tensor';
import type { EvictionPolicy } from './contract.js';
import type { PolicyDefinition } from './definition.js';
import { parsePolicy } from './expression.js';
import type { ParameterSchema } from './parameters.js';

/** What a registry takes: the function that `definePolicy` returns. */
export interface AnyPolicyFactory {
  (options?: never): EvictionPolicy;
  readonly definition: PolicyDefinition<ParameterSchema>;
}

/** A named expression: `ada-snapkv` for `adakv(snapkv(kernelSize=7, pooling=max))`. */
export interface Preset {
  readonly name: string;
  readonly expression: string;
  readonly description: string;
}

/** Policies by name. Passed by value to whoever parses expressions; there is no global one. */
export interface PolicyRegistry {
  readonly factories: ReadonlyMap<string, AnyPolicyFactory>;
  readonly presets: ReadonlyMap<string, Preset>;
  /** Makes the policy that an expression describes. @throws KvsiftError `policy_unknown`, `policy_invalid` pointing at the column */
  parse(expression: string): EvictionPolicy;
  /** What tables call an expression: without where its policy lies. Default: as it is written. */
  label?(expression: string): string;
}

/** @throws KvsiftError `policy_invalid` where two policies or presets share a name */
export function createRegistry(factories: readonly AnyPolicyFactory[], presets: readonly Preset[] = []): PolicyRegistry {
  const names = [...factories.map(({ definition }) => definition.name), ...presets.map(({ name }) => name)];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new KvsiftError('policy_invalid', `two policies are called '${twice}'`, { policy: twice });
  const registry: PolicyRegistry = {
    factories: new Map(factories.map((factory) => [factory.definition.name, factory])),
    presets: new Map(presets.map((preset) => [preset.name, preset])),
    parse: (expression) => parsePolicy(expression, registry),
  };
  return registry;
}
