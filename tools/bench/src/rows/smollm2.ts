import { requantized } from '../make-models.js';
import { interleave, type Setting, startLlama, startOurs, startTorch } from './setting.js';

export type Format = 'q4_1' | 'q4_0' | 'q8_0';

/** Goals of reading by format, of decoding for all. */
const lengths = [
  { tokens: 512, prefill: { q4_0: 2.0, q8_0: 2.5, q4_1: 5.0 } },
  { tokens: 128, decode: 1.2 },
  { tokens: 2048, prefill: { q4_0: 2.2, q8_0: 2.5, q4_1: 4.5 } },
  { tokens: 4096, decode: 1.6 },
  { tokens: 7500, prefill: { q4_0: 2.5, q8_0: 2.5, q4_1: 4.0 }, decode: 2.0 },
] as const;

/** Reading and decoding against the peers on one file, and, with the full cache of the peer, from an evicted one. */
export async function smollm2(setting: Setting, format: Format): Promise<void> {
  const { printer, quick, repeat } = setting;
  const model = format === 'q4_1' ? setting.model : await requantized(setting.model, format, setting.cache);
  using ours = startOurs();
  using llama = startLlama(setting);
  using torch = format === 'q4_1' ? startTorch(setting) : undefined;
  const peers = [ours, llama, ...(torch ? [torch] : [])];
  for (const peer of peers) await peer.load(model, 8192);
  for (const length of lengths) {
    const { tokens } = length;
    if (quick && tokens > 512) continue;
    const steps = 'decode' in length ? 24 : 1;
    const results = await interleave(peers, { tokens, steps }, tokens > 4000 ? Math.max(1, repeat - 1) : repeat);
    if ('prefill' in length) {
      printer.compare(`prefill ${tokens} ${format} vs llama.cpp`, results, 'prefill', length.prefill[format], 'llama.cpp');
      if (torch) printer.compare(`prefill ${tokens} ${format} vs torch bf16`, results, 'prefill', 2.0, 'torch');
    }
    if ('decode' in length) printer.compare(`decode at ${tokens} ${format}`, results, 'decode', length.decode);
    if (tokens !== 7500 || format !== 'q4_1') continue;
    for (const policy of ['snapkv', 'adakv(snapkv)']) {
      const evicted = await interleave([ours], { tokens, steps, policy, budget: '20%' }, Math.max(1, repeat - 1));
      const both = new Map([...evicted, ['llama.cpp', results.get('llama.cpp') ?? []]]);
      printer.compare(`decode at ${tokens}, ${policy} 20 %, vs llama.cpp full`, both, 'decode', 3.5);
    }
  }
}
