import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type AnyPolicyFactory, createRegistry, type EvictionPolicy, type PolicyRegistry } from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';

/** `./folder`, `/path`, `@scope/name` or `kvsift-policy-name`, and what is in parentheses behind it. */
const outside = /^(\.{1,2}\/[^()]*|\/[^()]*|@[^()/]+\/[^()]+|kvsift-policy-[^()]+)(\(.*\))?$/s;

/**
 * The policy of an expression. Besides the registry's names it takes a folder, a file or an installed package that exports a policy:
 * `./my-policy(window=16)`, `kvsift-policy-mine`. Packages are looked up from `from`.
 * @throws KvsiftError `policy_unknown` where the package cannot be loaded or exports no policy; as `PolicyRegistry.parse`
 */
export async function policyOf(expression: string, registry: PolicyRegistry, from = process.cwd()): Promise<EvictionPolicy> {
  const [, source, args = ''] = outside.exec(expression.trim()) ?? [];
  if (source === undefined) return registry.parse(expression);
  const factory = await loadFactory(source, from);
  const known = [...registry.factories.values()].filter(({ definition }) => definition.name !== factory.definition.name);
  return createRegistry([...known, factory], [...registry.presets.values()]).parse(factory.definition.name + args);
}

async function loadFactory(source: string, from: string): Promise<AnyPolicyFactory> {
  const target = source.startsWith('.') || source.startsWith('/') ? resolve(from, source) : join(from, 'node_modules', source);
  const file = entryOf(target);
  const loaded: unknown = await import(pathToFileURL(file).href).catch((cause: unknown) => {
    throw new KvsiftError('policy_unknown', `${source}: cannot load ${file}; build the package first`, { source }, { cause });
  });
  const factory = Object.values(loaded as object).find(isFactory);
  if (factory !== undefined) return factory;
  throw new KvsiftError('policy_unknown', `${source} exports no policy: export what definePolicy returns`, { source });
}

/** The file of a folder's package.json, or the path itself. */
function entryOf(path: string): string {
  if (!existsSync(path)) throw new KvsiftError('policy_unknown', `${path}: no such file or package`, { path });
  if (!statSync(path).isDirectory()) return path;
  const manifest = join(path, 'package.json');
  const { exports: exported, main } = (existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')) : {}) as {
    exports?: { '.'?: string | { default?: string } };
    main?: string;
  };
  const root = exported?.['.'];
  return join(path, (typeof root === 'string' ? root : root?.default) ?? main ?? 'index.js');
}

function isFactory(value: unknown): value is AnyPolicyFactory {
  return typeof value === 'function' && 'definition' in value;
}
