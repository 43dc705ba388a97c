import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promptIds, type RunRequest, type RunResult, serve } from './protocol.js';

/** The part of node-llama-cpp that is used here: it is installed beside the benchmark, never by the product. */
interface LlamaModule {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{
      createContext(options: object): Promise<{ getSequence(): LlamaSequence; dispose(): Promise<void> }>;
      dispose(): Promise<void>;
    }>;
  }>;
}

interface LlamaSequence {
  clearHistory(): Promise<void>;
  evaluateWithoutGeneratingNewTokens(tokens: number[]): Promise<void>;
  evaluate(tokens: number[], options: object): AsyncIterable<number>;
}

const folder = process.argv[2] ?? '.';
const entry = createRequire(join(folder, 'package.json')).resolve('node-llama-cpp');
const { getLlama } = (await import(pathToFileURL(entry).href)) as LlamaModule;
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 2, logLevel: 'error' });
let sequence: LlamaSequence | undefined;

async function run(of: LlamaSequence, { tokens, steps }: RunRequest): Promise<RunResult> {
  await of.clearHistory();
  const started = performance.now();
  await of.evaluateWithoutGeneratingNewTokens(promptIds(tokens));
  const read = performance.now();
  let produced = 0;
  let decodeStart = read;
  for await (const _token of of.evaluate([100], { temperature: 0, yieldEogToken: true })) {
    if (produced === 0) decodeStart = performance.now();
    if (produced++ >= steps) break;
  }
  return { prefill: (tokens * 1000) / (read - started), decode: ((produced - 1) * 1000) / (performance.now() - decodeStart) };
}

await serve(async (request) => {
  if (request.op === 'load') {
    const model = await llama.loadModel({ modelPath: request.model });
    const context = await model.createContext({ contextSize: request.context, batchSize: 512, threads: 2, flashAttention: true });
    sequence = context.getSequence();
    return undefined;
  }
  if (sequence === undefined) throw new Error('no model is loaded');
  return run(sequence, request);
});
