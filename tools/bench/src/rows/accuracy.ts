import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createCpuBackend } from '@kvsift/backend-cpu';
import { type LanguageModel, load } from '@kvsift/engine';
import type { KvType } from '@kvsift/tensor';
import type { Setting } from './setting.js';

const length = 1024;

/** Negative log-likelihood of each token of a text but the first, in nats. */
async function losses(model: LanguageModel, ids: Int32Array, kvType: KvType): Promise<number[]> {
  const { decoder } = model;
  const out: number[] = [];
  using session = model.session({ kvType });
  await session.prefill(ids, {
    onLayer: async ({ layer, hidden }) => {
      if (layer < decoder.layers.length - 1) return;
      for (const chunk of hidden) {
        using logits = decoder.logits(chunk);
        const values = (await logits.read()) as Float32Array;
        const { vocabulary } = decoder.config;
        for (let row = 0; row * vocabulary < values.length && out.length + 1 < ids.length; row++) {
          const line = values.subarray(row * vocabulary, (row + 1) * vocabulary);
          const top = line.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
          const sum = line.reduce((total, value) => total + Math.exp(value - top), 0);
          out.push(top + Math.log(sum) - (line[ids[out.length + 1] ?? 0] ?? 0));
        }
      }
    },
  });
  return out;
}

/** Mean loss on held-out essays: of integer products above exact ones, and with them of a cache in blocks of bytes above one of halves. */
export async function fastMode({ printer, model: path }: Setting, texts: string): Promise<void> {
  const names = (await readdir(texts).catch(() => [])).filter((name) => name.endsWith('.txt')).slice(0, 8);
  if (names.length === 0) return printer.title(`no texts in ${texts}: the accuracy of the fast mode is left out`);
  const means: number[] = [];
  for (const [compute, kvType] of [
    ['int8', 'f16'],
    ['f32', 'f32'],
    ['int8', 'q8_0'],
  ] as const) {
    await using backend = createCpuBackend({ threads: 2, compute });
    using model = await load(path, { backend, contextLength: length });
    const all: number[] = [];
    for (const name of names) {
      const ids = model.tokenizer?.encode(await readFile(join(texts, name), 'utf8'), { addSpecial: false }) ?? new Int32Array();
      if (ids.length >= length) all.push(...(await losses(model, ids.subarray(0, length), kvType)));
    }
    means.push(all.reduce((sum, value) => sum + value, 0) / all.length);
  }
  const [fast = Number.NaN, exact = Number.NaN, bytes = Number.NaN] = means;
  printer.note(`Mean loss on held-out essays: ${fast.toFixed(4)} nats/token with integer products, ${exact.toFixed(4)} exactly.`);
  printer.atMost('loss of the fast mode above the exact one (nats/token)', Math.abs(fast - exact), 0.005);
  printer.atMost('loss of a cache in q8_0 above one in f16 (nats/token)', Math.abs(bytes - fast), 0.005);
}
