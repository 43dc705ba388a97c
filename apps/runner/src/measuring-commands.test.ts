import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { factDocument } from '@kvsift/demo-model';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const cli = fileURLToPath(new URL('../dist/cli.js', import.meta.url));

let folder = '';
beforeAll(async () => {
  if (!existsSync(cli)) throw new Error('these tests run the built command: npm run build first');
  folder = await mkdtemp(join(tmpdir(), 'kvsift-measuring-'));
  const documents = Array.from({ length: 3 }, (_, seed) => factDocument({ tokens: 256, facts: 4, digits: 4, seed }));
  await writeFile(
    join(folder, 'text.txt'),
    documents.map(({ context, question, answer }) => `${context}${question} ${answer}.`).join(' '),
  );
  const rows = documents.map(({ context, question, answer }) => JSON.stringify({ prompt: context + question, answer }));
  await writeFile(join(folder, 'prompts.jsonl'), `${rows.join('\n')}\n`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function kvsift(...args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [cli, ...args], { cwd: folder, env: { ...process.env, NO_COLOR: '1' } });
  const text = { out: '', err: '' };
  child.stdout.on('data', (data: Buffer) => {
    text.out += data;
  });
  child.stderr.on('data', (data: Buffer) => {
    text.err += data;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...text })));
}

describe('kvsift lm', () => {
  const args = ['lm', 'demo', 'text.txt', '--chunk-size', '128', '--chunks', '2', '--prefill', '96', '--out', 'lm.jsonl'];

  it('compares policies with the full cache, and reads nothing twice', async () => {
    const { code, out, err } = await kvsift(...args, '--policies', 'snapkv(window=8)', '--budgets', '100%', '10%', '--json');
    expect(code, err).toBe(0);
    const [full, whole, tenth] = JSON.parse(out);
    expect(full).toMatchObject({ label: 'full', chunks: 2, tokens: 64, resampled: 'chunks' });
    expect(full.difference).toBeUndefined();
    expect(whole.difference.mean).toBeCloseTo(0, 2);
    expect(tenth.cacheBytes).toBeLessThan(0.5 * full.cacheBytes);
    expect(full.curve).toHaveLength(32);
    const before = await readFile(join(folder, 'lm.jsonl'), 'utf8');
    await writeFile(join(folder, 'lm.jsonl'), `${before}{"torn`);
    const again = await kvsift(...args, '--policies', 'snapkv(window=8)', '--budgets', '100%', '10%', '--json');
    expect(JSON.parse(again.out)).toEqual(JSON.parse(out));
    expect(await readFile(join(folder, 'lm.jsonl'), 'utf8')).toBe(before);
  });

  it('reads once under a policy that ignores budgets, and names none', async () => {
    const { code, out, err } = await kvsift(...args, '--policies', 'threshold(knorm, threshold=-4)', '--json');
    expect(code, err).toBe(0);
    expect(JSON.parse(out).map(({ budget }: { budget: string }) => budget)).toEqual(['100%', 'own']);
    const kept = await kvsift('inspect', 'retention', 'demo', '-f', 'text.txt', '--policy', 'full');
    expect(kept.out).toMatch(/^full of \d+ tokens: all layers/m);
  });

  it('takes no reading of another text or arithmetic for its own', async () => {
    const text = await readFile(join(folder, 'text.txt'), 'utf8');
    await writeFile(join(folder, 'other.txt'), `Another beginning. ${text}`);
    const stored = async () => (await readFile(join(folder, 'mine.jsonl'), 'utf8')).trim().split('\n').length;
    const read = async (file: string, ...more: readonly string[]) => {
      const setting = ['--chunk-size', '64', '--prefill', '48', '--policies', 'streaming-llm', '--budgets', '50%', '--out'];
      const { code, out, err } = await kvsift('lm', 'demo', file, ...setting, 'mine.jsonl', '--json', ...more);
      expect(code, err).toBe(0);
      return JSON.parse(out)[0].perplexity.mean as number;
    };
    const first = await read('text.txt');
    expect(await read('text.txt')).toBe(first);
    expect(await stored()).toBe(2);
    expect(await read('other.txt')).not.toBe(first);
    expect(await stored()).toBe(4);
    await read('text.txt', '--compute', 'f32');
    expect(await stored()).toBe(6);
    expect(await read('text.txt')).toBe(first);
  });

  it('leaves a file alone that is not its own, and says before the work where it cannot write', async () => {
    for (const [name, content] of [
      ['notes.txt', 'not mine, no newline'],
      ['line.txt', 'a line\nand {"model":"'],
      ['object.json', '{"model":"x"}'],
    ] as const) {
      await writeFile(join(folder, name), content);
      const ended = await kvsift('lm', 'demo', 'text.txt', '--out', name);
      expect(ended).toMatchObject({ code: 3, err: expect.stringContaining(`${name}, line 1: expected a reading`) });
      expect(await readFile(join(folder, name), 'utf8')).toBe(content);
    }
    for (const out of ['none/lm.jsonl', '.', 'text.txt/lm.jsonl']) {
      const ended = await kvsift('lm', 'demo', 'text.txt', '--out', out);
      expect(ended).toMatchObject({ code: 3, err: expect.stringContaining(`${out} cannot be written`) });
      expect(ended.err).not.toMatch(/unexpected|loading/);
    }
  });

  it('draws tables without colours where nobody sees them', async () => {
    const { out } = await kvsift('policies');
    expect(out).toContain('snapkv');
    expect(out).not.toContain('\u001b');
  });

  it('compresses at every step', async () => {
    const policy = 'every-step(knorm(), keepRatio=0.9, skipLayers=[0])';
    const { code, out, err } = await kvsift(
      'lm',
      'demo',
      'text.txt',
      '--chunk-size',
      '64',
      '--prefill',
      '0',
      '--policies',
      policy,
      '--budgets',
      '100%',
    );
    expect(code, err).toBe(0);
    expect(out).toContain('every-step');
    expect(out).toContain('63 tokens predicted');
    expect(out).not.toContain('\u001b');
  });

  it('says where a text is too short', async () => {
    const { code, err } = await kvsift('lm', 'demo', 'text.txt', '--chunk-size', '100000');
    expect(code).toBe(3);
    expect(err).toMatch(/the texts have \d+ tokens, one chunk needs 100000/);
  });
});

describe('kvsift tune', () => {
  it('finds the cheapest that keeps the answers, and shows what it tried', async () => {
    const args = ['--policies', 'snapkv(window=16)', 'streaming-llm', '--budgets', '30%', '60%', '--max-tokens', '6'];
    const { code, out, err } = await kvsift('tune', 'demo', 'prompts.jsonl', ...args);
    expect(code, err).toBe(0);
    expect(out).toContain('The full cache finds 3 of 3 answers');
    expect(out).not.toContain('\u001b');
    expect(out).toMatch(/Cheapest that keeps 99 %: snapkv\(.*\) at 30%/);
    expect(out.match(/streaming-llm/g)).toHaveLength(2);
    const raw = await kvsift('tune', 'demo', 'prompts.jsonl', '--raw', ...args);
    expect(raw.out).toContain('Use it: kvsift generate demo --raw --policy');
  });

  it('ends with an error where nothing holds, or a prompt is none', async () => {
    const args = ['--policies', 'streaming-llm', '--budgets', '10%', '--max-tokens', '6'];
    const nothing = await kvsift('tune', 'demo', 'prompts.jsonl', ...args);
    expect(nothing).toMatchObject({ code: 1, err: expect.stringContaining('nothing tried keeps 99 %') });
    const same = await kvsift('tune', 'demo', 'prompts.jsonl', ...args.slice(0, 2), '--budgets', '512', ...args.slice(4));
    expect(same).toMatchObject({ code: 1, err: expect.stringContaining('evicts nothing of these prompts') });
    await writeFile(join(folder, 'bad.jsonl'), '{"prompt": "a"}\n{"text": "b"}\n');
    const bad = await kvsift('tune', 'demo', 'bad.jsonl');
    expect(bad).toMatchObject({ code: 3, err: expect.stringContaining('bad.jsonl, line 2') });
  });
});

describe('kvsift data', () => {
  it('fetches files into the shared cache and finds them offline', async () => {
    const content = '{"id": 0}\n';
    const hub = createServer((_, response) => {
      response.writeHead(200, { 'x-repo-commit': 'a'.repeat(40), etag: '"v1"', 'content-length': content.length }).end(content);
    });
    await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
    const address = hub.address();
    const endpoint = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
    const args = ['data', 'owner/data', 'passkey.jsonl', '--cache', 'cache', '--endpoint', endpoint];
    const { code, out, err } = await kvsift(...args);
    hub.closeAllConnections();
    hub.close();
    expect(code, err).toBe(0);
    expect(await readFile(join(folder, out.trim(), 'passkey.jsonl'), 'utf8')).toBe(content);
    expect((await kvsift(...args, '--offline')).out).toBe(out);
    expect(await kvsift('data', 'owner/data', 'other.jsonl', '--cache', 'cache', '--offline')).toMatchObject({ code: 3 });
  });
});

describe('a queue that is not there', () => {
  it('ends run and worker with one sentence', async () => {
    const redis = ['--redis', 'redis://127.0.0.1:1'];
    const run = [
      'eval',
      'run',
      '--model',
      'demo',
      '--policy',
      'random',
      '--budget',
      '20%',
      '--suite',
      'facts',
      '--out',
      'shared',
    ];
    for (const args of [
      ['worker', ...redis],
      [...run, ...redis],
    ]) {
      expect(await kvsift(...args)).toMatchObject({ code: 5, err: expect.stringContaining('no Redis at 127.0.0.1:1') });
    }
  });
});
