import { formatPolicy } from '@kvsift/policy';
import { describe, expect, it } from 'vitest';
import { allPolicies, presets } from './index.js';

const registry = allPolicies();
/** Policies that cannot stand without a file or an inner policy of the caller's. */
const needsMore: Readonly<Record<string, string>> = {
  rerotate: 'rerotate(knorm)',
  'per-chunk': 'per-chunk(knorm)',
  'per-layer': 'per-layer(knorm, weights=[2, 1])',
  decoding: 'decoding(tova, interval=16)',
  merging: 'merging(knorm, method=cam)',
  sequence: 'sequence(first=knorm, second=keydiff)',
  threshold: 'threshold(knorm, threshold=-3)',
  phases: 'phases(prompt=knorm, answer=decoding(tova))',
  'q-filters': 'q-filters(filters="filters.safetensors")',
};

describe('catalogue', () => {
  const names = [...registry.factories.keys()].filter((name) => name !== 'duo-attention');
  it.each(names)('%s: its expression gives an equal policy', (name) => {
    const policy = registry.parse(needsMore[name] ?? name);
    for (const text of [formatPolicy(policy), formatPolicy(policy, registry)]) {
      expect(formatPolicy(registry.parse(text))).toBe(formatPolicy(policy));
    }
  });

  it.each(names)('%s: the profile kv-head is what it does by default', (name) => {
    const text = needsMore[name] ?? name;
    const profiled = text.includes('(') ? text.replace(/\)$/, ', profile=kv-head)') : `${text}(profile=kv-head)`;
    expect(formatPolicy(registry.parse(profiled))).toBe(formatPolicy(registry.parse(text)));
  });

  it.each(names)('%s: profiles only set parameters that exist', (name) => {
    const factory = registry.factories.get(name);
    for (const { parameters } of Object.values(factory?.definition.profiles ?? {})) {
      expect(Object.keys(factory?.definition.parameters ?? {})).toEqual(expect.arrayContaining(Object.keys(parameters)));
    }
  });

  it.each(presets.map(({ name, expression }) => [name, expression]))('the preset %s is %s', (name, expression) => {
    expect(formatPolicy(registry.parse(name))).toBe(formatPolicy(registry.parse(expression)));
  });
});
