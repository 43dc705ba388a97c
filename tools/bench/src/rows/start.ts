import { median } from '../median.js';
import type { PeerProcess } from '../peer-process.js';
import { type Setting, startLlama, startOurs } from './setting.js';

/** Milliseconds from the start of a process to the first token of a 512-token prompt. */
async function firstToken(start: () => PeerProcess, model: string): Promise<number> {
  const started = performance.now();
  using peer = start();
  await peer.load(model, 1024);
  await peer.run({ tokens: 512, steps: 0 });
  return performance.now() - started;
}

export async function startToFirstToken(setting: Setting): Promise<void> {
  const times: { ours: number; llama: number }[] = [];
  for (let round = 0; round < setting.repeat; round++) {
    times.push({
      ours: await firstToken(startOurs, setting.model),
      llama: await firstToken(() => startLlama(setting), setting.model),
    });
  }
  const [ours, llama] = [median(times.map((time) => time.ours)), median(times.map((time) => time.llama))];
  setting.printer.row({
    name: 'process start to first token of 512 (ms): llama.cpp / ours',
    ours,
    peer: llama,
    ratio: llama / ours,
    goal: 2,
    spread: 0,
  });
}
