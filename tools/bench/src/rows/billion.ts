import { randomBillion } from '../make-models.js';
import { interleave, type Setting, startLlama, startOurs } from './setting.js';

/** The 1B shape with random weights. */
export async function billion(setting: Setting, type: 'q4_0' | 'q8_0'): Promise<void> {
  const { printer } = setting;
  const model = await randomBillion(setting.model, type, setting.cache);
  using ours = startOurs();
  using llama = startLlama(setting);
  for (const peer of [ours, llama]) await peer.load(model, 8704);
  for (const { tokens, decode, repeat } of [
    { tokens: 2048, decode: 1.4, repeat: 2 },
    { tokens: 8192, decode: 2.0, repeat: 1 },
  ]) {
    const results = await interleave([ours, llama], { tokens, steps: 16 }, repeat);
    if (tokens === 2048) printer.compare(`1B prefill ${tokens} ${type}`, results, 'prefill', 1.8);
    printer.compare(`1B decode at ${tokens} ${type}`, results, 'decode', decode);
  }
}
