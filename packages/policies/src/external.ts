import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type AnyPolicyFactory, createRegistry, type EvictionPolicy, type PolicyRegistry } from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';
import { codeVersion } from './code-version.js';
import { manifestOf } from './manifest.js';

/** `./folder`, `/path`, `@scope/name` or `kvsift-policy-name`, and what is in parentheses behind it. */
const outside = /^(\.{1,2}\/[^()]*|\/[^()]*|@[^()/]+\/[^()]+|kvsift-policy-[^()]+)(\(.*\))?$/s;

/**
 * A registry that also takes the folders, files and installed packages that the expressions begin with: `./my-policy(window=16)`,
 * `kvsift-policy-mine`. Packages are looked up from `from`.
 * @throws KvsiftError `policy_unknown` where a package cannot be loaded or exports no policy; `policy_invalid` where its name is taken
 */
export async function registryFor(
  expressions: readonly string[],
  registry: PolicyRegistry,
  from = process.cwd(),
): Promise<PolicyRegistry> {
  const sources = new Set(expressions.flatMap((expression) => sourceOf(expression)?.source ?? []));
  if (sources.size === 0) return registry;
  const loaded = new Map<string, AnyPolicyFactory>();
  const versions = new Map<string, string>();
  for (const source of sources) {
    const { factory, version } = await loadFactory(source, from);
    const { name } = factory.definition;
    const taken = registry.factories.get(name) ?? registry.presets.get(name);
    if (taken !== undefined && taken !== factory)
      throw new KvsiftError(
        'policy_invalid',
        `${source}: its policy is called '${name}', as one of kvsift is: give it another name`,
        {
          source,
        },
      );
    loaded.set(source, factory);
    versions.set(name, version);
  }
  const factories = new Set([...registry.factories.values(), ...loaded.values()]);
  const all = createRegistry([...factories], [...registry.presets.values()]);
  const label = (expression: string): string => {
    const { source = '', rest = '' } = sourceOf(expression) ?? {};
    const name = loaded.get(source)?.definition.name;
    return name === undefined ? expression : name + rest;
  };
  return { ...all, versions, label, parse: (expression) => all.parse(label(expression)) };
}

/** The expression with where its policy lies as an absolute path, so that `registryFor` finds it from any folder; others as they are. */
export function withAbsoluteSource(expression: string, from = process.cwd()): string {
  const { source, rest = '' } = sourceOf(expression) ?? {};
  if (source === undefined) return expression;
  const target = targetOf(source, from);
  // In a path parentheses cannot be told from those of the parameters.
  return /[()]/.test(target) || !existsSync(target) ? expression : target + rest;
}

/** The policy of one expression. @throws as `registryFor` and `PolicyRegistry.parse` */
export async function policyOf(expression: string, registry: PolicyRegistry, from = process.cwd()): Promise<EvictionPolicy> {
  return (await registryFor([expression], registry, from)).parse(expression);
}

/** Where an expression's policy comes from, and its parameters; undefined for names of the registry. */
function sourceOf(expression: string): { readonly source: string; readonly rest: string } | undefined {
  const [, source, rest = ''] = outside.exec(expression.trim()) ?? [];
  return source === undefined ? undefined : { source, rest };
}

async function loadFactory(source: string, from: string): Promise<{ factory: AnyPolicyFactory; version: string }> {
  const target = targetOf(source, from);
  const file = entryOf(target);
  const loaded: unknown = await import(pathToFileURL(file).href).catch((cause: unknown) => {
    const reason = existsSync(file) ? (cause instanceof Error ? cause.message : String(cause)) : 'build the package first';
    throw new KvsiftError('policy_unknown', `${source}: cannot load ${file}: ${reason}`, { source }, { cause });
  });
  const factory = Object.values(loaded as object).find(isFactory);
  if (factory !== undefined) return { factory, version: codeVersion(target, file) };
  throw new KvsiftError('policy_unknown', `${source} exports no policy: export what definePolicy returns`, { source });
}

function targetOf(source: string, from: string): string {
  return source.startsWith('.') || source.startsWith('/') ? resolve(from, source) : join(from, 'node_modules', source);
}

/** The file of a folder's package.json, or the path itself. */
function entryOf(path: string): string {
  if (!existsSync(path)) throw new KvsiftError('policy_unknown', `${path}: no such file or package`, { path });
  if (!statSync(path).isDirectory()) return path;
  const { exports: exported, main } = manifestOf(path);
  const root = exported?.['.'];
  return join(path, (typeof root === 'string' ? root : root?.default) ?? main ?? 'index.js');
}

function isFactory(value: unknown): value is AnyPolicyFactory {
  return typeof value === 'function' && 'definition' in value;
}
