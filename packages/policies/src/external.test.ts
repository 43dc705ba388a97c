import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outsideVersions } from '@kvsift/policy';
import { afterAll, describe, expect, it } from 'vitest';
import { policyOf, registryFor, withAbsoluteSource } from './external.js';
import { allPolicies } from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'kvsift-external-'));
afterAll(() => rmSync(folder, { recursive: true }));
const source = `
const parameters = { window: { kind: 'integer', default: 3, min: 1, description: 'w' } };
const definition = { name: 'mine', title: 'Mine', idea: '', parameters, observes: '', costs: '', phases: ['prefill'], create: () => ({}) };
export const mine = Object.assign((options = {}) => ({ name: 'mine', parameters: { window: 3, ...options }, ragged: false, begin() {} }), { definition });
`;

function packageAt(path: string): void {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'package.json'), JSON.stringify({ type: 'module', exports: { '.': { default: './entry.js' } } }));
  writeFileSync(join(path, 'entry.js'), source);
}

describe('policyOf', () => {
  it('takes names of the registry', async () => {
    expect((await policyOf('snapkv(window=16)', allPolicies())).parameters.window).toBe(16);
  });

  it('loads a folder and an installed package', async () => {
    packageAt(join(folder, 'mine'));
    packageAt(join(folder, 'node_modules', 'kvsift-policy-mine'));
    expect((await policyOf('./mine(window=5)', allPolicies(), folder)).parameters).toEqual({ window: 5 });
    expect((await policyOf('kvsift-policy-mine', allPolicies(), folder)).name).toBe('mine');
  });

  it('refuses the name of a policy that there is: both would have one row in a table', async () => {
    packageAt(join(folder, 'imitation'));
    writeFileSync(join(folder, 'imitation', 'entry.js'), source.replaceAll("'mine'", "'snapkv'"));
    await expect(policyOf('./imitation', allPolicies(), folder)).rejects.toMatchObject({
      code: 'policy_invalid',
      message: "./imitation: its policy is called 'snapkv', as one of kvsift is: give it another name",
    });
    packageAt(join(folder, 'mine'));
    const once = await registryFor(['./mine'], allPolicies(), folder);
    expect((await policyOf('./mine', once, folder)).name).toBe('mine');
  });

  it('says which package.json cannot be read', async () => {
    const broken = join(folder, 'broken');
    mkdirSync(broken, { recursive: true });
    writeFileSync(join(broken, 'package.json'), '{ "name": ');
    await expect(policyOf('./broken', allPolicies(), folder)).rejects.toMatchObject({
      code: 'policy_unknown',
      message: expect.stringContaining(`${join(broken, 'package.json')} cannot be read`),
    });
  });

  it('finds a policy from any folder once its path is absolute, and calls it by its name', async () => {
    packageAt(join(folder, 'mine'));
    packageAt(join(folder, 'node_modules', 'kvsift-policy-mine'));
    const paths = ['./mine(window=5)', 'kvsift-policy-mine'].map((expression) => withAbsoluteSource(expression, folder));
    expect(paths).toEqual([join(folder, 'mine(window=5)'), join(folder, 'node_modules/kvsift-policy-mine')]);
    const [path = ''] = paths;
    const registry = await registryFor([path], allPolicies(), '/');
    expect(registry.parse(path).parameters).toEqual({ window: 5 });
    expect([registry.label?.(path), registry.label?.('snapkv')]).toEqual(['mine(window=5)', 'snapkv']);
  });

  it('tells versions of a policy apart, of a package with all that lies beside what was loaded', async () => {
    const path = join(folder, 'versions');
    packageAt(path);
    const version = async (expression: string) => (await registryFor([expression], allPolicies(), folder)).versions?.get('mine');
    const first = await version('./versions(window=5)');
    expect(first).toMatch(/^[0-9a-f]{12}$/);
    expect(await version('./versions')).toBe(first);
    writeFileSync(join(path, 'table.json'), '[1]');
    mkdirSync(join(path, 'node_modules'), { recursive: true });
    const second = await version('./versions');
    expect(second).not.toBe(first);
    writeFileSync(join(path, 'node_modules', 'other.js'), '');
    writeFileSync(join(path, '.hidden'), '');
    expect(await version('./versions')).toBe(second);
    const manifest = { type: 'module', version: '1.2.0', exports: { '.': { default: './entry.js' } } };
    writeFileSync(join(path, 'package.json'), JSON.stringify(manifest));
    expect(await version('./versions')).toMatch(/^1\.2\.0 [0-9a-f]{12}$/);
    // Of a file alone: what lies beside it has nothing to do with it.
    writeFileSync(join(folder, 'alone.mjs'), source);
    const alone = await version('./alone.mjs');
    writeFileSync(join(folder, 'beside.json'), '{}');
    expect(await version('./alone.mjs')).toBe(alone);
    const registry = await registryFor(['./alone.mjs', 'snapkv'], allPolicies(), folder);
    expect(outsideVersions(registry.parse('mine'), registry)).toEqual({ mine: alone });
    expect(outsideVersions(registry.parse('adakv(snapkv)'), registry)).toEqual({});
  });

  it('tells versions of data files apart', () => {
    const registry = allPolicies();
    const table = join(folder, 'table.json');
    const versions = () => outsideVersions(registry.parse(`headkv(table="${table}")`), registry);
    writeFileSync(table, '{"importance":[[1,2]]}');
    const first = versions();
    expect(first).toEqual({ 'headkv.table': expect.stringMatching(/^[0-9a-f]{12}$/) });
    writeFileSync(table, '{"importance":[[1,3]]}');
    expect(versions()).not.toEqual(first);
    expect(outsideVersions(registry.parse('headkv'), registry)).toEqual({});
  });

  it.each(['snapkv(window=5)', './nowhere', './a (b)/mine'])('leaves %s as it is', (expression) => {
    packageAt(join(folder, 'a (b)/mine'));
    expect(withAbsoluteSource(expression, folder)).toBe(expression);
  });

  it.each(['./nowhere', '@some/package', 'kvsift-policy-nowhere(window=1)'])('says what is missing for %s', async (text) => {
    await expect(policyOf(text, allPolicies(), folder)).rejects.toMatchObject({ code: 'policy_unknown' });
  });

  it('says why a policy cannot be loaded', async () => {
    writeFileSync(join(folder, 'throws.mjs'), "throw new Error('no table for this model');");
    await expect(policyOf('./throws.mjs', allPolicies(), folder)).rejects.toThrow(
      /cannot load .*throws.mjs: no table for this model/,
    );
    mkdirSync(join(folder, 'unbuilt'), { recursive: true });
    writeFileSync(join(folder, 'unbuilt', 'package.json'), JSON.stringify({ main: './dist/index.js' }));
    await expect(policyOf('./unbuilt', allPolicies(), folder)).rejects.toThrow(/index.js: build the package first/);
  });

  it('refuses a package without a policy', async () => {
    writeFileSync(join(folder, 'empty.mjs'), 'export const nothing = 1;');
    await expect(policyOf('./empty.mjs', allPolicies(), folder)).rejects.toThrow(/exports no policy/);
  });
});
