import { spawn } from 'node:child_process';
import { median } from '../median.js';
import type { RunRequest, RunResult } from '../peers/protocol.js';
import { interleave, type Setting, startOurs } from './setting.js';

/** Share of the reading time that evicting may add. `fused`: part of it happens while the layer attends, so whole times are compared. */
const evictionLimits: readonly { readonly policy: string; readonly most: number; readonly fused?: boolean }[] = [
  { policy: 'streaming-llm', most: 0.02 },
  { policy: 'knorm', most: 0.02 },
  { policy: 'snapkv', most: 0.02 },
  { policy: 'nacl', most: 0.1 },
  { policy: 'h2o', most: 0.1, fused: true },
];

/** Rows that compare us with ourselves or with a limit. */
export async function alone(setting: Setting): Promise<void> {
  const { printer, model, repeat, quick } = setting;
  using ours = startOurs();
  await ours.load(model, 8192);
  const run = async (request: Omit<RunRequest, 'op'>): Promise<RunResult[]> =>
    (await interleave([ours], request, repeat)).get('kvsift') ?? [];
  const decode = async (request: Omit<RunRequest, 'op'>) => median((await run(request)).map((result) => result.decode));
  const one = await decode({ tokens: 128, steps: 48 });
  const eight = await decode({ tokens: 128, steps: 24, batch: 8 });
  printer.row({
    name: 'decode, 8 sequences / one (tokens/s in sum)',
    ours: eight,
    peer: one,
    ratio: eight / one,
    goal: 3,
    spread: 0,
  });
  const neighbour = spawn('taskset', ['-c', '0', process.execPath, '-e', 'for (;;);'], { stdio: 'ignore' });
  try {
    const busy = await decode({ tokens: 128, steps: 48 });
    printer.row({ name: 'decode beside a busy process / quiet', ours: busy, peer: one, ratio: busy / one, goal: 0.4, spread: 0 });
  } finally {
    neighbour.kill('SIGKILL');
  }
  const whole = await run({ tokens: 128, steps: 200, crossing: true });
  const crossing = median(whole.map(({ extra }) => extra?.crossing ?? Number.NaN));
  printer.atMost('crossing from TypeScript, share of a decode step', crossing, 0.03);
  if (quick) return;
  const halves: number[] = [];
  const bytes: number[] = [];
  for (let round = 0; round < repeat; round++) {
    for (const [kvType, speeds] of [
      ['f16', halves],
      ['q8_0', bytes],
    ] as const) {
      speeds.push((await ours.run({ tokens: 7500, steps: 48, kvType })).decode);
    }
  }
  printer.row({
    name: 'decode at 7500, cache in q8_0 / in f16',
    ours: median(bytes),
    peer: median(halves),
    ratio: median(bytes) / median(halves),
    goal: 1,
    spread: 0,
  });
  for (const { policy, most, fused } of evictionLimits) {
    const evicted = await run({ tokens: 4096, steps: 1, policy, budget: '20%', eviction: true });
    const share = fused
      ? median((await run({ tokens: 4096, steps: 1 })).map(({ prefill }) => prefill)) /
          median(evicted.map(({ prefill }) => prefill)) -
        1
      : median(evicted.map(({ extra }) => extra?.eviction ?? 1));
    printer.atMost(`eviction at 4096, ${policy}, share of the prefill`, share, most);
  }
  await memory(setting);
}

/** Peak memory and the event loop while the longest prompt is read, in a fresh process. */
async function memory({ printer, model }: Setting): Promise<void> {
  using ours = startOurs();
  await ours.load(model, 8192);
  const { extra = {} } = await ours.run({ tokens: 7500, steps: 24, watch: true });
  const { cacheBytes = 0, peakBytes = 0, loopP99 = 0, loopMax = 0 } = extra;
  printer.atMost('peak memory above the weights at 7500, full cache (MB)', peakBytes / 1e6, (1.1 * (cacheBytes + 64e6)) / 1e6);
  printer.atMost('event loop delay meanwhile, p99 (ms)', loopP99, 5);
  printer.atMost('event loop delay meanwhile, maximum (ms)', loopMax, 25);
}
