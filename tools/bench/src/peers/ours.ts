import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createCpuBackend } from '@kvsift/backend-cpu';
import { generateBatch, type LanguageModel, load, type Session } from '@kvsift/engine';
import { adakv } from '@kvsift/policy-adakv';
import { snapkv } from '@kvsift/policy-snapkv';
import { KvsiftError } from '@kvsift/tensor';
import { promptIds, type RunRequest, type RunResult, serve } from './protocol.js';

const backend = createCpuBackend({ threads: 2 });
let model: LanguageModel | undefined;

/** Bytes of this process that no file backs. */
function anonymousBytes(): number {
  const kib = /RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kib ?? 0) * 1024;
}

async function run(loaded: LanguageModel, request: RunRequest): Promise<RunResult> {
  const { tokens, steps, batch = 1 } = request;
  const ids = promptIds(tokens);
  const chosen = request.policy === 'adakv' ? adakv({ policy: snapkv() }) : snapkv();
  const options = request.policy ? { policy: chosen, budget: request.budget ?? '20%' } : {};
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  let peak = 0;
  const before = anonymousBytes();
  const watch = setInterval(() => {
    peak = Math.max(peak, anonymousBytes() - before);
  }, 10);
  const sessions: Session[] = [];
  const started = performance.now();
  for (let index = 0; index < batch; index++) {
    const session = loaded.session({ ...options, sequence: index });
    await session.prefill(ids);
    sessions.push(session);
  }
  const read = performance.now();
  const cacheBytes = sessions[0]?.statistics().bytes ?? 0;
  const generate = { maxTokens: steps + 1, ignoreEos: true };
  // The first token comes from the prompt's logits: decoding is timed from there.
  let decodeStart = 0;
  let produced = 0;
  const [first] = sessions;
  if (first === undefined) throw new KvsiftError('invalid_argument', 'batch must be at least 1');
  const chunks = batch === 1 ? first.generate(generate) : generateBatch(loaded.decoder, sessions, generate);
  for await (const _chunk of chunks) {
    produced += 1;
    if (produced === batch) decodeStart = performance.now();
  }
  const decoded = performance.now();
  clearInterval(watch);
  loop.disable();
  for (const session of sessions) session.dispose();
  return {
    prefill: (batch * tokens * 1000) / (read - started),
    decode: ((produced - batch) * 1000) / (decoded - decodeStart),
    extra: { cacheBytes, peakBytes: peak, loopP99: loop.percentile(99) / 1e6 - 1, loopMax: loop.max / 1e6 - 1 },
  };
}

await serve(async (request) => {
  if (request.op === 'load') {
    model?.dispose();
    model = await load(request.model, { backend, contextLength: request.context });
    return undefined;
  }
  if (model === undefined) throw new KvsiftError('invalid_argument', 'no model is loaded');
  return run(model, request);
});
