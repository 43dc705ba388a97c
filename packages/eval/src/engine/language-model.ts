import {
  defaultKvType,
  estimateMemory,
  type LanguageModel,
  load,
  type ModelFiles,
  openModel,
  type Session,
} from '@kvsift/engine';
import type { Backend, KvType } from '@kvsift/tensor';
import { KvsiftError } from '@kvsift/tensor';
import type { Tokenizer } from '@kvsift/tokenizer';
import type { AnswerRequest, EngineAnswer, EvalEngine, Question, Retention } from './contract.js';
import { fingerprint } from './fingerprint.js';

export interface LanguageModelOptions {
  /** What computes. Owned by the engine: disposed with it. */
  readonly backend: Backend;
  /** Storage of the cache. Default: the engine's. */
  readonly kvType?: KvType;
  /** Longest sequence. Default: what the model was made for. */
  readonly contextLength?: number;
  /** Read the first context once before it counts, so that its time does not hold what is paid once. Default false. */
  readonly warmUp?: boolean;
}

/**
 * A model on disk as an `EvalEngine`.
 * @param path a .gguf file or a Hugging Face folder
 * @throws KvsiftError as `openModel` of @kvsift/engine, and `tokenizer_invalid` where there is no tokenizer
 */
export async function openLanguageModel(path: string, options: LanguageModelOptions): Promise<EvalEngine> {
  const files = await openModel(path);
  const { tokenizer, config } = files;
  if (tokenizer === undefined) {
    throw new KvsiftError('tokenizer_invalid', `${path} has no tokenizer: an evaluation reads and writes text`, { path });
  }
  const { backend, kvType } = options;
  const isFolder = files.weights.format !== 'gguf';
  const facts = {
    modelFingerprint: await fingerprint(path, (name) => /\.(safetensors|json)$/.test(name)),
    tokenizerFingerprint: await fingerprint(path, (name) => name.startsWith('tokenizer')),
    format: isFolder ? 'safetensors' : 'gguf',
    architecture: config.architecture,
    chatTemplate: tokenizer.chatTemplate ?? null,
    backend: backend.info.name,
    kernels: backend.info.description,
    compute: backend.info.compute,
    threads: backend.info.threads,
    kvType: kvType ?? defaultKvType(backend),
  };
  let model: Promise<LanguageModel> | undefined;
  let loadSeconds: number | undefined;
  const loadNow = async (request: AnswerRequest): Promise<LanguageModel> => {
    const started = performance.now();
    const loaded = await loadModel(path, options, request);
    loadSeconds = (performance.now() - started) / 1000;
    return loaded;
  };
  // Every policy and budget reads the same context in turn.
  let latest: { readonly context: string; readonly addSpecial: boolean; readonly ids: Int32Array } | undefined;
  const idsOf = ({ context, addSpecial }: AnswerRequest): Int32Array => {
    if (latest?.context !== context || latest.addSpecial !== addSpecial)
      latest = { context, addSpecial, ids: tokenizer.encode(context, { addSpecial }) };
    return latest.ids;
  };
  const { chatTemplate } = tokenizer;
  return {
    facts,
    contextLength: options.contextLength ?? config.contextLength,
    get loadSeconds() {
      return loadSeconds;
    },
    ...(backend.info.memoryBytes !== undefined && { memoryBytes: backend.info.memoryBytes }),
    memoryNeeded: (context, { policy, budget }) =>
      estimateMemory({
        config,
        tensors: files.weights.tensors.values(),
        context,
        kvType: kvType ?? defaultKvType(backend),
        ...(policy && { policy }),
        ...(budget && { budget }),
        info: backend.info,
      }).peak,
    tokenizer: {
      encode: (text) => tokenizer.encode(text, { addSpecial: false }),
      decode: (ids) => tokenizer.decode(ids, { skipSpecial: true }),
    },
    ...(chatTemplate !== undefined && {
      chat: (content: string) => tokenizer.chat([{ role: 'user', content }], { addGenerationPrompt: true }),
    }),
    async *answer(request) {
      model ??= loadNow(request);
      yield* answers(await model, files, tokenizer, request, idsOf(request), kvType);
    },
    async [Symbol.asyncDispose]() {
      // A model that failed to load has nothing to release; its error went to whoever asked for an answer.
      (await model?.catch(() => undefined))?.dispose();
      await backend.dispose();
    },
  };
}

async function loadModel(path: string, options: LanguageModelOptions, request: AnswerRequest): Promise<LanguageModel> {
  const { backend, kvType, contextLength, warmUp = false } = options;
  const model = await load(path, { backend, ...(contextLength !== undefined && { contextLength }) });
  if (warmUp) {
    using session = model.session({ ...(kvType && { kvType }) });
    await session.prefill(model.encode(request.context, request.addSpecial), {
      ...(request.signal && { signal: request.signal }),
    });
  }
  return model;
}

async function* answers(
  model: LanguageModel,
  files: ModelFiles,
  tokenizer: Tokenizer,
  request: AnswerRequest,
  ids: Int32Array,
  kvType: KvType | undefined,
): AsyncGenerator<EngineAnswer> {
  const { setting, questions, signal, onProgress, retention = false } = request;
  using session = model.session({ ...setting, ...(kvType && { kvType }), trackPositions: retention });
  const started = performance.now();
  await session.prefill(ids, {
    ...(signal && { signal }),
    ...(onProgress && { onProgress: (done: number, total: number) => onProgress(done / total) }),
  });
  const shared = {
    contextTokens: ids.length,
    prefillSeconds: (performance.now() - started) / 1000,
    cacheBytes: session.statistics().bytes,
  };
  const kept = retention ? await readRetention(session, files, tokenizer, ids) : undefined;
  for (const [index, question] of questions.entries()) {
    // The last question may use up the session itself, so that policies which cannot fork still answer one.
    const own = index === questions.length - 1 ? session : session.fork();
    try {
      const answer = await generate(own, question, signal);
      yield { ...shared, ...answer, ...(index === 0 && kept && { retention: kept }) };
    } finally {
      if (own !== session) own.dispose();
    }
  }
}

async function generate(session: Session, question: Question, signal: AbortSignal | undefined) {
  const { text: input, maxNewTokens, minNewTokens = 0, stop } = question;
  const limits = { stop, ...(signal && { signal }) };
  const started = performance.now();
  if (input !== '') await session.prefill(input, { addSpecial: false, ...(signal && { signal }) });
  const forced = Math.min(minNewTokens, maxNewTokens);
  const parts = [
    ...(forced > 0 ? [{ ...limits, maxTokens: forced, ignoreEos: true }] : []),
    ...(maxNewTokens > forced ? [{ ...limits, maxTokens: maxNewTokens - forced }] : []),
  ];
  let text = '';
  let generatedTokens = 0;
  let finishReason = 'length';
  let first = started;
  let last = started;
  for (const options of parts) {
    for await (const chunk of session.generate(options)) {
      last = performance.now();
      if (generatedTokens === 0) first = last;
      generatedTokens += 1;
      text += chunk.text;
      finishReason = chunk.finishReason ?? finishReason;
    }
    if (finishReason !== 'length') break;
  }
  const decodedTokens = Math.max(0, generatedTokens - 1);
  const seconds = { firstTokenSeconds: (first - started) / 1000, decodeSeconds: (last - first) / 1000 };
  return { text, generatedTokens, decodedTokens, ...seconds, finishReason };
}

async function readRetention(session: Session, files: ModelFiles, tokenizer: Tokenizer, ids: Int32Array): Promise<Retention> {
  const layers: number[][] = [];
  for (let layer = 0; layer < files.config.layers.length; layer++) {
    const counts = new Array<number>(ids.length).fill(0);
    for (const head of await session.retained(layer)) {
      for (const position of head) counts[position] = (counts[position] ?? 0) + 1;
    }
    layers.push(counts);
  }
  const stream = tokenizer.stream();
  return { kvHeads: files.config.kvHeads, tokens: Array.from(ids, (id) => stream.push(id)), layers };
}
