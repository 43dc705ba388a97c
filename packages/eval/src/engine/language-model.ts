import { defaultKvType, estimateMemory, type LanguageModel, load, openModel } from '@kvsift/engine';
import type { Backend, KvType } from '@kvsift/tensor';
import { KvsiftError } from '@kvsift/tensor';
import { answers } from './answers.js';
import type { AnswerRequest, CacheSetting, EvalEngine, SharedAnswer } from './contract.js';
import { fingerprint } from './fingerprint.js';

/** What an engine of a model in this process needs. */
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

/** What is read, under whatever setting. */
type Read = Omit<AnswerRequest, 'setting'>;

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
  const modelFingerprint = await fingerprint(path, (name) => /\.(safetensors|json)$/.test(name));
  const facts = {
    modelFingerprint,
    // A .gguf file holds both.
    tokenizerFingerprint: isFolder ? await fingerprint(path, (name) => name.startsWith('tokenizer')) : modelFingerprint,
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
  const loadNow = async (request: Read): Promise<LanguageModel> => {
    const started = performance.now();
    const loaded = await loadModel(path, options, request);
    loadSeconds = (performance.now() - started) / 1000;
    return loaded;
  };
  // Every policy and budget reads the same context in turn.
  let latest: { readonly context: string; readonly addSpecial: boolean; readonly ids: Int32Array } | undefined;
  const idsOf = ({ context, addSpecial }: Read): Int32Array => {
    if (latest?.context !== context || latest.addSpecial !== addSpecial)
      latest = { context, addSpecial, ids: tokenizer.encode(context, { addSpecial }) };
    return latest.ids;
  };
  const answerAll = async function* (request: Read, settings: readonly CacheSetting[]): AsyncGenerator<SharedAnswer> {
    model ??= loadNow(request);
    yield* answers({ model: await model, files, tokenizer, kvType }, request, settings, idsOf(request));
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
      for await (const { answer } of answerAll(request, [request.setting])) yield answer;
    },
    answerAll,
    async [Symbol.asyncDispose]() {
      // A model that failed to load has nothing to release; its error went to whoever asked for an answer.
      (await model?.catch(() => undefined))?.dispose();
      await backend.dispose();
    },
  };
}

async function loadModel(path: string, options: LanguageModelOptions, request: Read): Promise<LanguageModel> {
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
