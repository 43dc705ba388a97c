import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { demoModelPath } from '@kvsift/demo-model';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { program } from './main.js';

const cli = fileURLToPath(new URL('../dist/cli.js', import.meta.url));

let folder = '';
beforeAll(async () => {
  if (!existsSync(cli)) throw new Error('these tests run the built command: npm run build first');
  folder = await mkdtemp(join(tmpdir(), 'kvsift-cli-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the command as a user would, in an empty folder. */
function kvsift(
  args: readonly string[],
  input = '',
  onStart: (kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, [cli, ...args], { cwd: folder, env: { ...process.env, NO_COLOR: '1' } });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (data: Buffer) => out.push(data));
  child.stderr.on('data', (data: Buffer) => err.push(data));
  child.stdin.on('error', () => {}).end(input);
  onStart((signal) => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out: `${Buffer.concat(out)}`, err: `${Buffer.concat(err)}` }));
  });
}

const demo = [
  'generate',
  'demo',
  '--raw',
  '--prompt',
  'The code for amber is 48213. Question: What is the code for amber? Answer: The code for amber is',
];

it('ends quietly where nobody reads its output any more', async () => {
  const child = spawn(process.execPath, [cli, 'generate', '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  const errors: Buffer[] = [];
  child.stderr.on('data', (data: Buffer) => errors.push(data));
  const code = await new Promise((resolve) => child.on('close', resolve));
  expect([code, `${Buffer.concat(errors)}`]).toEqual([0, '']);
});

describe('inspect retention', () => {
  const text = ['-p', 'The code for amber is 48213. A cat touched the large bird, and the baker repaired it.'];
  const policy = ['--policy', 'streaming-llm(sinks=2)', '--budget', '6'];

  it('shows what is left of the prompt, and writes a page', async () => {
    const shown = await kvsift(['inspect', 'retention', 'demo', ...text, ...policy]);
    expect(shown.code).toBe(0);
    expect(shown.out).toMatch(/The ·{4} .*it\./);
    expect(shown.out).toContain('all layers, all heads keep 6.0 tokens per head');
    const json = await kvsift(['inspect', 'retention', 'demo', ...text, ...policy, '--json']);
    const { tokens, kept } = JSON.parse(json.out) as { tokens: string[]; kept: number[][][] };
    const last = tokens.length;
    expect(kept[0]?.[0]).toEqual([0, 1, last - 4, last - 3, last - 2, last - 1]);
    expect(await kvsift(['inspect', 'retention', 'demo', ...text, ...policy, '--html', 'kept.html', '--json'])).toEqual(json);
    expect(await readFile(join(folder, 'kept.html'), 'utf8')).toContain('kept by ');
  });

  it('ends as an interrupted command does', async () => {
    await writeFile(join(folder, 'long.txt'), 'The river runs. '.repeat(900));
    const args = ['inspect', 'retention', 'demo', '-f', 'long.txt', '--backend', 'reference', ...policy];
    const child = spawn(process.execPath, [cli, ...args], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.stderr.once('data', () => child.kill('SIGINT'));
    expect(await ended).toBe(4);
  });

  it('counts what ThinK keeps at reduced width', async () => {
    const shown = await kvsift([
      'inspect',
      'retention',
      'demo',
      ...text,
      '--policy',
      'think(recent=4, window=4)',
      '--budget',
      '6',
    ]);
    const json = await kvsift(['inspect', 'retention', 'demo', ...text, '--policy', 'full', '--budget', '6', '--json']);
    const { tokens } = JSON.parse(json.out) as { tokens: string[] };
    expect(shown.out).toContain(`all layers, all heads keep ${tokens.length}.0 tokens per head`);
  });

  it('says what is missing', async () => {
    const without = await kvsift(['inspect', 'retention', 'demo', ...policy]);
    expect([without.code, without.err]).toEqual([2, expect.stringContaining('--prompt-file')]);
    const beyond = await kvsift(['inspect', 'retention', 'demo', ...text, ...policy, '--layer', '99']);
    expect([beyond.code, beyond.err]).toEqual([2, expect.stringContaining('--layer 99: this model has')]);
  });
});

describe('a policy from outside', () => {
  it('is loaded by its path', async () => {
    const source = `
const parameters = { window: { kind: 'integer', default: 3, min: 1, description: 'w' } };
const definition = { name: 'mine', title: 'Mine', idea: '', parameters, observes: '', costs: '', phases: ['prefill'], create: () => ({}) };
const begin = ({ model }) => ({ observe: {}, budgets: Array.from({ length: model.layers }, () => ({ perHead: 4, total: 4 * model.kvHeads })),
  select: ({ backend, model, length }) => backend.top(backend.upload(new Float32Array(model.kvHeads * length), 'f32', [model.kvHeads, length]), { keep: 4, protectLast: 4 }),
  dispose() {}, [Symbol.dispose]() {} });
export const mine = Object.assign((options = {}) => ({ name: 'mine', parameters: { window: 3, ...options }, ragged: false, begin }), { definition });
`;
    await writeFile(join(folder, 'mine.mjs'), source);
    const ended = await kvsift([...demo, '--max-tokens', '2', '--policy', './mine.mjs(window=2)', '--budget', '4']);
    expect([ended.code, ended.err]).toEqual([0, expect.anything()]);
    const wrong = await kvsift([...demo, '--policy', './none.mjs', '--budget', '4']);
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('none.mjs: no such file')]);
  });
});

describe('generate', () => {
  it('answers from a cache that a policy has shrunk', async () => {
    const full = await kvsift([...demo, '--max-tokens', '5', '--json']);
    expect(full.code).toBe(0);
    const chunks = full.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { text: string; promptTokens?: number; cache: { bytes: number } });
    expect(chunks.map(({ text = '' }) => text).join('')).toContain('48213');
    const shrunk = await kvsift([...demo, '--max-tokens', '5', '--policy', 'snapkv(window=4)', '--budget', '20', '--json']);
    const first = JSON.parse(shrunk.out.split('\n', 1)[0] ?? '') as { cache: { bytes: number } };
    expect(first.cache.bytes / (chunks[0]?.cache.bytes ?? 0)).toBeCloseTo(20 / (chunks.at(-1)?.promptTokens ?? 0), 5);
  });

  it('reads standard input and streams text', async () => {
    const { code, out, err } = await kvsift(['generate', 'demo', '--raw', '-f', '-', '--max-tokens', '3'], 'The lake was');
    expect(code).toBe(0);
    expect(out.length).toBeGreaterThan(1);
    expect(err).toMatch(/\d+ tokens read in .* 3 generated, [\d.]+ tokens\/s/);
    const one = await kvsift(['generate', 'demo', '--raw', '-p', 'The lake was', '--max-tokens', '1']);
    expect(one.err).toMatch(/ 1 generated\n$/);
  });
});

describe('bad input: one clear line, an exit code, nothing written', () => {
  beforeAll(async () => {
    await mkdir(join(folder, 'empty'));
    await writeFile(join(folder, 'latin1.txt'), Buffer.from([0x63, 0x61, 0x66, 0xe9]));
    await writeFile(join(folder, 'broken.yaml'), 'models: [demo\npolicies:');
    await writeFile(join(folder, 'wrong.yaml'), 'models: [demo]\npolicies: [snapkv]\nbudgets: [20%]\nsuites: [fact]\n');
    await writeFile(join(folder, 'not-a-model.gguf'), 'hello');
    await cp(demoModelPath(), join(folder, 'unknown'), { recursive: true });
    const config = join(folder, 'unknown/config.json');
    await writeFile(
      config,
      (await readFile(config, 'utf8')).replace('LlamaForCausalLM', 'MambaForCausalLM').replace('"llama"', '"mamba"'),
    );
  });

  const long = 'word '.repeat(9000);
  const kept = ['-p', 'x', '--policy', 'snapkv', '--budget', '20%'];
  const run = ['eval', 'run', '--out', 'run', '--model', 'demo', '--suite', 'facts'];
  const small = ['--model', 'demo', '--policy', 'snapkv', '--budget', '20%', '--suite', 'facts'];
  it.each<[what: string, args: readonly string[], code: number, message: RegExp, input?: string]>([
    ['a missing model', ['generate', 'missing.gguf', '--prompt', 'x'], 3, /missing\.gguf/],
    ['a file that is no model', ['generate', 'not-a-model.gguf', '--prompt', 'x'], 3, /not-a-model\.gguf/],
    ['a wrong architecture', ['generate', 'unknown', '--prompt', 'x'], 3, /[Mm]amba/],
    ['a prompt longer than the context', ['generate', 'demo', '-f', '-'], 3, /\d+ tokens, the context holds/, long],
    ['a budget of 0', [...demo, '--policy', 'snapkv', '--budget', '0'], 2, /budget '0'/],
    ['a budget of 0 %', [...demo, '--policy', 'snapkv', '--budget', '0%'], 2, /budget '0%'/],
    ['a budget larger than the prompt', [...demo, '--policy', 'snapkv', '--budget', '5000'], 2, /larger than the prompt/],
    ['a budget of more bytes than the prompt', [...demo, '--policy', 'snapkv', '--budget', '1GiB'], 2, /larger than the prompt/],
    ['a budget without a policy', [...demo, '--budget', '20%'], 2, /--policy/],
    ['a policy without a budget', [...demo, '--policy', 'snapkv'], 2, /needs a budget/],
    [
      'an unknown policy',
      [...demo, '--policy', 'snap', '--budget', '20%'],
      2,
      /no policy 'snap'; did you mean snapkv\? known: .*snapkv/,
    ],
    [
      'an unknown parameter',
      [...demo, '--policy', 'snapkv(windw=3)', '--budget', '20%'],
      2,
      /no parameter 'windw'; it has: window/,
    ],
    ['a parameter out of range', [...demo, '--policy', 'snapkv(window=-1)', '--budget', '20%'], 2, /window must be/],
    ['a prompt that is not UTF-8', ['generate', 'demo', '-f', 'latin1.txt'], 3, /latin1\.txt.*UTF-8/],
    ['a missing prompt file', ['generate', 'demo', '-f', 'none.txt'], 3, /none\.txt/],
    ['a folder as a prompt file', ['generate', 'demo', '-f', 'unknown'], 3, /unknown/],
    ['no prompt', ['generate', 'demo'], 2, /prompt/],
    ['a number that is none', [...demo, '--max-tokens', 'many'], 2, /--max-tokens/],
    ['an unknown option', ['generate', 'demo', '--polcy', 'x'], 2, /--polcy/],
    ['an unknown command', ['generat'], 2, /generat/],
    ['a run file that is no YAML', ['eval', 'run', 'broken.yaml', '--out', 'run'], 3, /broken\.yaml/],
    [
      'a run of a missing model',
      ['eval', 'run', '--model', 'none', '--policy', 'snapkv', '--budget', '9', '--suite', 'facts', '--out', 'run'],
      3,
      /none/,
    ],
    ['a missing run file', ['eval', 'run', 'none.yaml', '--out', 'run'], 3, /none\.yaml/],
    ['an unknown suite', ['eval', 'run', 'wrong.yaml', '--out', 'run'], 3, /suite "fact": expected one of facts/],
    ['a folder that holds no run', ['report', 'unknown'], 3, /unknown/],
    ['JSON in another format', ['report', 'unknown', '--json', '--format', 'csv'], 2, /--json.*cannot be used with.*--format/],
    ['a run that is not there', ['eval', 'resume', 'none'], 3, /none/],
    ['a golden folder without cases', ['verify', 'forward', 'empty'], 3, /empty holds no case of forward/],
    ['a golden folder that is not there', ['verify', 'bad-files', 'none'], 3, /none/],
    ['something to inspect that is nothing', ['inspect', 'none'], 3, /none/],
    ['a policy to inspect without a budget', ['inspect', 'demo', '--policy', 'snapkv'], 2, /--policy snapkv needs a budget/],
    ['a chat with a model without a template', ['chat', 'demo'], 3, /chat template/],
    ['an address that is none', ['worker', '--redis', 'nonsense'], 2, /--redis.*redis:\/\/127/],
    ['a run of nothing', ['eval', 'run', '--out', 'run', '--model', 'demo'], 2, /--policy, --suite/],
    ['a run without the budget that it needs', [...run, '--policy', 'snapkv'], 2, /snapkv needs budgets: 512/],
    ['a report that cannot be written', ['demo', '--report', 'none/report.html'], 3, /none\/report.html cannot be written/],
    [
      'a page that cannot be written',
      ['inspect', 'retention', 'demo', ...kept, '--html', 'none/x.html'],
      3,
      /none\/x\.html cannot/,
    ],
    ['filters that cannot be written', ['calibrate', 'gates', 'demo', 'broken.yaml', '--out', 'none/x'], 3, /none\/x cannot be/],
    [
      'a file in the place of a run',
      ['eval', 'run', ...small, '--out', 'wrong.yaml'],
      3,
      /wrong\.yaml is a file, expected a folder/,
    ],
    ['a run below a file', ['eval', 'run', ...small, '--out', 'wrong.yaml/x'], 3, /x cannot be written: .*wrong\.yaml is a file/],
    ['a text that is not there', ['lm', 'demo', 'none.txt'], 3, /none.txt: the file cannot be read/],
    ['threads that are none', [...demo, '--threads', '0'], 2, /--threads/],
    ['more threads than there can be', [...demo, '--threads', '100000'], 2, /threads must be an integer from 0 to \d+/],
    ['a GPU without CUDA', [...demo, '--device', '1'], 2, /--device chooses a GPU of --backend cuda/],
    ['a policy without a budget', [...demo, '--policy', 'snapkv'], 2, /--policy snapkv needs a budget/],
    ['a model without a name', ['generate', '', '-p', 'x'], 2, /which model\?/],
    [
      'gates in a folder that is not there',
      ['calibrate', 'gates', 'demo', 'wrong.yaml', '--out', 'none/x.json'],
      3,
      /none\/x.json cannot be written/,
    ],
    [
      'filters in the place of a folder',
      ['calibrate', 'q-filters', 'demo', 'wrong.yaml', '--out', '.'],
      3,
      /\. cannot be written: it is a folder/,
    ],
  ])('%s', async (_, args, code, message, input = '') => {
    const before = await readdir(folder);
    const ended = await kvsift(args, input);
    expect(ended.err).toMatch(message);
    expect(ended.code).toBe(code);
    expect(ended.err).not.toMatch(/\n\s+at |unexpected/);
    expect(ended.err.split('\n').filter((line) => line.startsWith('error:'))).toHaveLength(1);
    expect(ended.out).toBe('');
    expect(await readdir(folder)).toEqual(before);
  });

  it.skipIf(!existsSync('/dev/full'))('says where its output cannot be written', async () => {
    const full = await open('/dev/full', 'w');
    try {
      const child = spawn(process.execPath, [cli, 'policies'], { stdio: ['ignore', full.fd, 'pipe'] });
      let err = '';
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        err += text;
      });
      const [code] = (await once(child, 'close')) as [number];
      expect(err).toMatch(/^error: standard output cannot be written: .*no space left/);
      expect(err).not.toMatch(/\n\s+at /);
      expect(code).toBe(1);
    } finally {
      await full.close();
    }
  });

  it('prints the stack where it is asked to', async () => {
    expect((await kvsift(['generate', 'missing.gguf', '--prompt', 'x', '--debug'])).err).toMatch(/\n\s+at /);
  });
});

describe('inspect and policies', () => {
  it('tells the architecture and the memory of a context, policy and budget', async () => {
    const { out } = await kvsift(['inspect', 'demo', '--context', '2000', '--policy', 'snapkv', '--budget', '10%', '--json']);
    const { memory, queryHeads, kvHeads, headDim, layers } = JSON.parse(out) as Record<string, number> & {
      memory: Record<string, number>;
    };
    expect({ queryHeads, kvHeads, headDim, layers }).toEqual({ queryHeads: 6, kvHeads: 2, headDim: 32, layers: 4 });
    expect(memory.fullCache).toBe(2000 * 4 * 2 * 32 * 2 * 2);
    expect(memory.cache).toBe((memory.fullCache ?? 0) / 10);
  });

  it('lists policies, and the parameters of one', async () => {
    const { out } = await kvsift(['policies', '--json']);
    expect(out).toContain('snapkv');
    expect((await kvsift(['inspect', 'snapkv'])).out).toMatch(/window.*\n/);
  });

  it('has help with examples and exit codes', async () => {
    const { code, out } = await kvsift(['--help']);
    expect(code).toBe(0);
    expect(out).toContain('Exit codes');
    const all = ({ commands }: Command): readonly Command[] => commands.flatMap((one) => [one, ...all(one)]);
    for (const command of all(program())) {
      let help = '';
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      expect(help, command.name()).toMatch(/Examples?:\n +kvsift /);
    }
  });
});
