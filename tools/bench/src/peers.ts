import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { randomBillion, requantized } from './make-models.js';
import { median } from './median.js';
import { PeerProcess } from './peer-process.js';
import type { RunRequest, RunResult } from './peers/protocol.js';

/** One printed line. `ratio` is ours / peer, or what the name says; `goal` what it should reach. */
interface Row {
  readonly name: string;
  readonly ours: number;
  readonly peer: number;
  readonly ratio: number;
  readonly goal: number;
  /** (largest − smallest) / median of our repetitions. */
  readonly spread: number;
}

const root = fileURLToPath(new URL('../../..', import.meta.url));
const cache = join(root, 'node_modules/.cache/kvsift-bench');
const command = new Command('bench:peers')
  .description('Measures kvsift against llama.cpp (node-llama-cpp) and PyTorch on the same files, interleaved, two threads each.')
  .option('--json', 'print JSON lines')
  .option('--quick', 'the short rows only, one repetition less')
  .option('--billion', 'also the 1B shape (writes about 2 GB of random weights to the cache folder)')
  .option('--model <gguf>', 'SmolLM2-135M as Q4_1', resolve(root, '../shared/models/smollm2-135m-instruct-q4_1.gguf'))
  .option('--formats <list>', 'q4_1,q4_0,q8_0', 'q4_1,q4_0,q8_0')
  .option('--python <path>', 'a Python with torch and transformers; without it PyTorch is left out')
  .option('--repeat <n>', 'repetitions per row', '3')
  .parse();
const options = command.opts<{
  json?: boolean;
  quick?: boolean;
  billion?: boolean;
  model: string;
  formats: string;
  python?: string;
  repeat: string;
}>();

function print(row: Row): void {
  if (options.json) console.log(JSON.stringify(row));
  else {
    const mark = row.ratio >= row.goal ? 'ok  ' : 'miss';
    const text = [row.ours, row.peer, row.ratio].map((value) => value.toFixed(2).padStart(10)).join('');
    console.log(`${mark} ${row.name.padEnd(52)}${text}  goal ${row.goal}  spread ${(100 * row.spread).toFixed(0)} %`);
  }
}

/** node-llama-cpp with its CPU binary only, in a folder of the cache. */
function installLlama(): string {
  const folder = join(cache, 'peers');
  if (!existsSync(join(folder, 'node_modules/@node-llama-cpp/linux-x64'))) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    const npm = (...args: string[]) =>
      execFileSync('npm', ['install', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--force', ...args], {
        cwd: folder,
        stdio: 'ignore',
      });
    npm('node-llama-cpp@3.22.1');
    npm('@node-llama-cpp/linux-x64@3.22.1');
  }
  return folder;
}

/** Repetitions of one request, peer by peer in turn. */
async function interleave(
  peers: readonly PeerProcess[],
  request: Omit<RunRequest, 'op'>,
  repeat: number,
): Promise<Map<string, RunResult[]>> {
  const results = new Map<string, RunResult[]>(peers.map(({ name }) => [name, []]));
  for (let round = 0; round < repeat; round++) for (const peer of peers) results.get(peer.name)?.push(await peer.run(request));
  return results;
}

function compare(
  name: string,
  results: ReadonlyMap<string, RunResult[]>,
  phase: 'prefill' | 'decode',
  goal: number,
  against?: string,
): void {
  const ours = (results.get('kvsift') ?? []).map((result) => result[phase]);
  const others = [...results].filter(([peer]) => peer !== 'kvsift' && (against === undefined || peer === against));
  if (others.length === 0) return;
  const peer = Math.max(...others.map(([, list]) => median(list.map((result) => result[phase]))));
  const middle = median(ours);
  print({ name, ours: middle, peer, ratio: middle / peer, goal, spread: (Math.max(...ours) - Math.min(...ours)) / middle });
}

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));

async function smollm2(format: 'q4_1' | 'q4_0' | 'q8_0', llamaFolder: string): Promise<void> {
  const model = format === 'q4_1' ? options.model : await requantized(options.model, format, cache);
  using ours = new PeerProcess('kvsift', process.execPath, [here('./peers/ours.js')]);
  using llama = new PeerProcess('llama.cpp', process.execPath, [here('./peers/llama.js'), llamaFolder]);
  const torch =
    options.python && format === 'q4_1' ? new PeerProcess('torch', options.python, [here('../python/peer_torch.py')]) : undefined;
  const peers = [ours, llama, ...(torch ? [torch] : [])];
  const repeat = Number(options.repeat);
  const index = { q4_0: 0, q8_0: 1, q4_1: 2 }[format];
  try {
    for (const peer of peers) await peer.load(model, 8192);
    const rows = [
      { tokens: 512, goals: [2.0, 2.5, 5.0], decode: undefined },
      { tokens: 128, goals: undefined, decode: 1.2 },
      { tokens: 2048, goals: [2.2, 2.5, 4.5], decode: undefined },
      { tokens: 4096, goals: undefined, decode: 1.6 },
      { tokens: 7500, goals: [2.5, 2.5, 4.0], decode: 2.0 },
    ].filter(({ tokens }) => !options.quick || tokens <= 512);
    for (const { tokens, goals, decode } of rows) {
      const results = await interleave(
        peers,
        { tokens, steps: decode ? 24 : 1 },
        tokens > 4000 ? Math.max(1, repeat - 1) : repeat,
      );
      if (goals) compare(`prefill ${tokens} ${format} vs llama.cpp`, results, 'prefill', goals[index] ?? 0, 'llama.cpp');
      if (goals && torch) compare(`prefill ${tokens} ${format} vs torch bf16`, results, 'prefill', 2.0, 'torch');
      if (decode) compare(`decode at ${tokens} ${format}`, results, 'decode', decode);
      if (tokens === 7500 && format === 'q4_1') await evicted(ours, results, repeat);
    }
    if (format === 'q4_1') await alone(ours, repeat);
  } finally {
    torch?.[Symbol.dispose]();
  }
}

/** Our decoding from an evicted cache against llama.cpp's from the full one. */
async function evicted(ours: PeerProcess, full: ReadonlyMap<string, RunResult[]>, repeat: number): Promise<void> {
  for (const policy of ['snapkv', 'adakv'] as const) {
    const results = await interleave([ours], { tokens: 7500, steps: 24, policy, budget: '20%' }, Math.max(1, repeat - 1));
    compare(
      `decode at 7500, ${policy} 20 %, vs llama.cpp full`,
      new Map([...results, ['llama.cpp', full.get('llama.cpp') ?? []]]),
      'decode',
      3.5,
    );
  }
  const [sample] = full.get('kvsift') ?? [];
  const { cacheBytes = 0, peakBytes = 0, loopP99 = 0, loopMax = 0 } = sample?.extra ?? {};
  const allowed = 1.1 * (cacheBytes + 64e6);
  print({
    name: 'peak memory at 7500, full cache: allowed / held (MB)',
    ours: peakBytes / 1e6,
    peer: allowed / 1e6,
    ratio: allowed / peakBytes,
    goal: 1,
    spread: 0,
  });
  print({
    name: 'event loop p99 (ms): 5 / measured',
    ours: loopP99,
    peer: 5,
    ratio: 5 / Math.max(loopP99, 0.01),
    goal: 1,
    spread: 0,
  });
  print({
    name: 'event loop maximum (ms): 25 / measured',
    ours: loopMax,
    peer: 25,
    ratio: 25 / Math.max(loopMax, 0.01),
    goal: 1,
    spread: 0,
  });
}

/** Rows that compare us with ourselves. */
async function alone(ours: PeerProcess, repeat: number): Promise<void> {
  const single = await interleave([ours], { tokens: 128, steps: 48 }, repeat);
  const batch = await interleave([ours], { tokens: 128, steps: 24, batch: 8 }, repeat);
  const speed = (results: Map<string, RunResult[]>) => (results.get('kvsift') ?? []).map(({ decode }) => decode);
  const [one, eight] = [median(speed(single)), median(speed(batch))];
  print({ name: 'decode, 8 sequences / one (tokens/s in sum)', ours: eight, peer: one, ratio: eight / one, goal: 3, spread: 0 });
  const neighbour = spawn('taskset', ['-c', '0', process.execPath, '-e', 'for (;;);'], { stdio: 'ignore' });
  try {
    const busy = median(speed(await interleave([ours], { tokens: 128, steps: 48 }, repeat)));
    print({ name: 'decode beside a busy process / quiet', ours: busy, peer: one, ratio: busy / one, goal: 0.4, spread: 0 });
  } finally {
    neighbour.kill('SIGKILL');
  }
}

async function billion(type: 'q4_0' | 'q8_0', llamaFolder: string): Promise<void> {
  const model = await randomBillion(options.model, type, cache);
  using ours = new PeerProcess('kvsift', process.execPath, [here('./peers/ours.js')]);
  using llama = new PeerProcess('llama.cpp', process.execPath, [here('./peers/llama.js'), llamaFolder]);
  for (const peer of [ours, llama]) await peer.load(model, 8704);
  const rows = options.quick ? [2048] : [2048, 8192];
  for (const tokens of rows) {
    const results = await interleave([ours, llama], { tokens, steps: 12 }, tokens === 2048 ? 2 : 1);
    if (tokens === 2048) compare(`1B prefill 2048 ${type}`, results, 'prefill', 1.8);
    compare(`1B decode at ${tokens} ${type}`, results, 'decode', tokens === 2048 ? 1.4 : 2.0);
  }
}

const llamaFolder = installLlama();
if (!options.json)
  console.log(
    `${cpus()[0]?.model}, ${cpus().length} cores, load ${loadavg()[0]?.toFixed(2)}; tokens/s, medians; ratio to the best peer of the row`,
  );
for (const format of options.quick ? ['q4_1'] : options.formats.split(',')) await smollm2(format as 'q4_1', llamaFolder);
if (options.billion) for (const type of ['q4_0', 'q8_0'] as const) await billion(type, llamaFolder);
