import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
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
  /** Of policies from outside, by name: another version of one is another policy. Default: none is from outside. */
  readonly versions?: ReadonlyMap<string, string>;
}

/**
 * Versions of what a policy is made of that comes from outside: of code by the policy's name, of data files by policy and parameter (`headkv.table`), 12 digits of
 * a hash.
 */
export function outsideVersions(policy: EvictionPolicy, registry: PolicyRegistry): Record<string, string> {
  const found: Record<string, string> = {};
  const visit = ({ name, parameters }: EvictionPolicy): void => {
    const version = registry.versions?.get(name);
    if (version !== undefined) found[name] = version;
    const schema = registry.factories.get(name)?.definition.parameters ?? {};
    for (const [parameter, value] of Object.entries(parameters)) {
      if (typeof value === 'object' && 'begin' in value) visit(value);
      if (typeof value !== 'string' || schema[parameter]?.kind !== 'text') continue;
      if (statSync(value, { throwIfNoEntry: false })?.isFile())
        found[`${name}.${parameter}`] = createHash('sha256').update(readFileSync(value)).digest('hex').slice(0, 12);
    }
  };
  visit(policy);
  return found;
}

/** Policies and named expressions by name: what expressions are read with. @throws KvsiftError `policy_invalid` where two policies or presets share a name */
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
