import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verify } from '../verify.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvsift-verify-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const index = (shard: string) => JSON.stringify({ weight_map: { 'model.embed_tokens.weight': shard } });
const config = JSON.stringify({
  model_type: 'llama',
  hidden_size: 8,
  intermediate_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  vocab_size: 8,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
});

async function run(cases: readonly { file: string; contents?: string | Uint8Array; expect: string }[]) {
  for (const { file, contents } of cases) if (contents !== undefined) writeFileSync(join(folder, file), contents);
  writeFileSync(
    join(folder, 'files.json'),
    JSON.stringify(cases.map((each) => ({ file: each.file, wrong: 'something', expect: each.expect }))),
  );
  const failures: string[] = [];
  const counts = await verify('bad-files', folder, { onFailure: (line) => failures.push(line) });
  return { counts, failures };
}

describe('bad-files', () => {
  it('passes what is judged rightly', async () => {
    const { counts, failures } = await run([
      { file: 'cut.gguf', contents: 'GGUF', expect: 'reject' },
      { file: 'short.safetensors', contents: new Uint8Array(3), expect: 'reject' },
      { file: 'config-good.json', contents: config, expect: 'accept' },
      { file: 'config-bad.json', contents: config.replace('8', '-8'), expect: 'reject' },
      { file: 'config-family.json', contents: config.replace('llama', 'mamba'), expect: 'reject' },
      { file: 'tokenizer-bad.json', contents: '{}', expect: 'reject' },
      { file: 'index-good.json', contents: index('model-00001-of-00001.safetensors'), expect: 'accept' },
      { file: 'index-missing.json', contents: index('model-00002-of-00002.safetensors'), expect: 'reject' },
      { file: 'index-outside.json', contents: index('../outside.safetensors'), expect: 'reject' },
      { file: 'index-absolute.json', contents: index('/etc/hostname'), expect: 'reject' },
      { file: 'index-text.json', contents: 'no', expect: 'reject' },
    ]);
    expect(failures).toEqual([]);
    expect(counts).toEqual({ passed: 11, failed: 0, skipped: 0 });
  });

  it('fails what is judged wrongly, and what it does not understand', async () => {
    const { counts, failures } = await run([
      { file: 'cut.gguf', contents: 'GGUF', expect: 'accept' },
      { file: 'config-good.json', contents: config, expect: 'reject' },
      { file: 'notes.txt', contents: 'hm', expect: 'reject' },
      { file: 'other.json', contents: '{}', expect: 'reject' },
    ]);
    expect(counts).toEqual({ passed: 0, failed: 4, skipped: 0 });
    expect(failures).toEqual([
      expect.stringMatching(/^cut.gguf: should load, but: file_malformed/),
      'config-good.json: should be refused (something), but loads',
      expect.stringMatching(/^notes.txt: expected \*.safetensors/),
      expect.stringMatching(/^other.json: expected/),
    ]);
  });

  it('fails a list of another form, and has none where the folder has none', async () => {
    const { counts } = await run([{ file: 'cut.gguf', contents: 'GGUF', expect: 'perhaps' }]);
    expect(counts).toEqual({ passed: 0, failed: 1, skipped: 0 });
    await expect(verify('bad-files', join(folder, 'none'), { onFailure: () => {} })).rejects.toMatchObject({
      code: 'file_not_found',
    });
    await expect(verify('good-files', folder, { onFailure: () => {} })).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});
