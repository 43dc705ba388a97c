import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createCpuBackend } from '@kvsift/backend-cpu';
import {
  DecodeLoop,
  type EvictionCost,
  generateBatch,
  type LanguageModel,
  LogitsRow,
  load,
  type Session,
  type SessionOptions,
} from '@kvsift/engine';
import { KvsiftError, type SamplingRule } from '@kvsift/tensor';
import { promptIds, type RunRequest, type RunResult, serve } from './protocol.js';

const backend = createCpuBackend({ threads: 2 });
let model: LanguageModel | undefined;

const greedy: SamplingRule = { temperature: 0, topK: 0, topP: 1, minP: 0, uniform: 0.5 };

/** Bytes of this process that no file backs. */
function anonymousBytes(): number {
  const kib = /RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kib ?? 0) * 1024;
}

async function sessionOptions({ policy, budget, kvType }: RunRequest): Promise<SessionOptions> {
  const storage = { ...(kvType && { kvType }) };
  if (policy === undefined) return storage;
  // Not at the top: the start of a process is measured too.
  const { allPolicies } = await import('@kvsift/policies');
  return { ...storage, policy: allPolicies().parse(policy), budget: budget ?? '20%' };
}

/** Milliseconds of a decode step where nobody looks at the tokens, so that the stream never waits. */
async function bareStep(loaded: LanguageModel, tokens: number, steps: number): Promise<number> {
  using session = loaded.session();
  await session.prefill(promptIds(tokens));
  for await (const _chunk of session.generate({ maxTokens: 1, ignoreEos: true }));
  let milliseconds = 0;
  await session.step(async (sequence, id) => {
    using decoding = new DecodeLoop(loaded.decoder, [sequence]);
    await decoding.step(Int32Array.of(id));
    await backend.finish();
    const started = performance.now();
    for (let step = 1; step < steps; step++) {
      const { ids, logProbs } = backend.sample(await decoding.step(Int32Array.of(id)), [greedy]);
      ids.dispose();
      logProbs.dispose();
    }
    await backend.finish();
    milliseconds = (performance.now() - started) / (steps - 1);
    return LogitsRow.of(backend.slice(await decoding.step(Int32Array.of(id)), 0, 0, 1));
  });
  return milliseconds;
}

/** Watches memory and the event loop until it is called. */
function watched(): () => Readonly<Record<string, number>> {
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  let peak = 0;
  const before = anonymousBytes();
  const timer = setInterval(() => {
    peak = Math.max(peak, anonymousBytes() - before);
  }, 10);
  return () => {
    clearInterval(timer);
    loop.disable();
    return { peakBytes: peak, loopP99: loop.percentile(99) / 1e6 - 1, loopMax: loop.max / 1e6 - 1 };
  };
}

async function run(loaded: LanguageModel, request: RunRequest): Promise<RunResult> {
  const { tokens, steps, batch = 1 } = request;
  const ids = promptIds(tokens);
  const options = await sessionOptions(request);
  const costs: EvictionCost[] = [];
  const watch = request.watch ? watched() : undefined;
  const sessions: Session[] = [];
  const started = performance.now();
  for (let index = 0; index < batch; index++) {
    const session = loaded.session({ ...options, sequence: index });
    await session.prefill(ids, request.eviction ? { onEviction: (cost) => costs.push(cost) } : {});
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
  const seen = watch?.();
  for (const session of sessions) session.dispose();
  const evicting = costs.reduce((sum, { seconds }) => sum + 1000 * seconds, 0);
  const stepMilliseconds = (batch * (decoded - decodeStart)) / (produced - batch);
  return {
    prefill: (batch * tokens * 1000) / (read - started),
    decode: ((produced - batch) * 1000) / (decoded - decodeStart),
    extra: {
      cacheBytes,
      ...seen,
      eviction: evicting / (read - started - evicting),
      ...(request.crossing && { crossing: 1 - (await bareStep(loaded, tokens, steps)) / stepMilliseconds }),
    },
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
