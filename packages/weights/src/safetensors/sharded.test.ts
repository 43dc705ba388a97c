import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { refusal, temporaryFolders, write } from '../files/temporary-folder.test.fixture.js';
import { openWeights } from '../open.js';
import { f32Entry, safetensors } from './safetensors-bytes.test.fixture.js';

const folder = temporaryFolders();
const shard = (...names: string[]) =>
  safetensors(Object.fromEntries(names.map((name, i) => [name, f32Entry([1], 4 * i)])), 4 * names.length);

function model(map: Record<string, string>, shards: Record<string, Uint8Array>): string {
  const at = join(folder(), 'a', 'b', 'model');
  write(join(at, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: map }));
  for (const [name, bytes] of Object.entries(shards)) write(join(at, name), bytes);
  return at;
}

describe('valid folders', () => {
  it('joins the shards', async () => {
    const at = model(
      { a: '1.safetensors', b: '2.safetensors', c: '1.safetensors' },
      { '1.safetensors': shard('a', 'c'), '2.safetensors': shard('b') },
    );
    const file = await openWeights(at);
    expect([...file.tensors.keys()].sort()).toEqual(['a', 'b', 'c']);
    expect(file.files.map(({ path }) => path)).toEqual([join(at, '1.safetensors'), join(at, '2.safetensors')]);
    expect(file.tensor('b').path).toBe(join(at, '2.safetensors'));
    expect((await openWeights(join(at, 'model.safetensors.index.json'))).tensors.size).toBe(3);
  });

  it('follows links and takes folders inside', async () => {
    const at = model({ a: 'link.safetensors', b: 'deep/2.safetensors' }, { 'deep/2.safetensors': shard('b') });
    const elsewhere = write(join(folder(), 'blob'), shard('a'));
    symlinkSync(elsewhere, join(at, 'link.safetensors'));
    expect((await openWeights(at)).tensors.size).toBe(2);
  });
});

describe('refusals', () => {
  it.each(['../outside.safetensors', '../../outside.safetensors', '/etc/passwd', '', '.', 'x/../../y', '..\\y', 'a\0b'])(
    'the shard name %j',
    async (name) => {
      const at = model({ a: name }, {});
      write(join(at, '..', 'outside.safetensors'), shard('a'));
      write(join(at, '..', '..', 'outside.safetensors'), shard('a'));
      const error = await refusal(openWeights(at));
      expect(error.code).toBe('file_malformed');
      expect(error.message).toMatch(/weight_map: expected names of files inside/);
    },
  );

  it('a shard that is not there', async () => {
    const error = await refusal(openWeights(model({ a: 'gone.safetensors' }, {})));
    expect(error.code).toBe('file_not_found');
    expect(error.message).toContain('gone.safetensors');
  });

  it('a tensor in another shard than the index says, or in none', async () => {
    const shards = { '1.safetensors': shard('a'), '2.safetensors': shard('b') };
    const swapped = model({ a: '2.safetensors', b: '1.safetensors' }, shards);
    expect((await refusal(openWeights(swapped))).message).toMatch(
      /expected tensor "a" in 2.safetensors, found it in 1.safetensors/,
    );
    const missing = model({ a: '1.safetensors', c: '2.safetensors' }, shards);
    expect((await refusal(openWeights(missing))).message).toMatch(/"c" .* nowhere/);
  });

  it('a tensor in two shards', async () => {
    const at = model(
      { a: '1.safetensors', b: '2.safetensors' },
      { '1.safetensors': shard('a'), '2.safetensors': shard('a', 'b') },
    );
    expect((await refusal(openWeights(at))).message).toMatch(/"a" is in 1.safetensors already/);
  });

  it.each(['{}', '[]', '{"weight_map":{}}', '{"weight_map":{"a":1}}', '{"weight_map":{"a":"x","a":"y"}}', '{'])(
    'the index %s',
    async (text) => {
      const at = folder();
      write(join(at, 'model.safetensors.index.json'), text);
      expect((await refusal(openWeights(at))).code).toBe('file_malformed');
    },
  );

  it('a folder without weights, and a path that is no file', async () => {
    expect((await refusal(openWeights(folder()))).code).toBe('file_not_found');
    expect((await refusal(openWeights('/dev/null'))).code).toBe('file_unreadable');
  });
});
