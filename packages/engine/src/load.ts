import { configFromGguf, configFromHuggingFace, DecoderModel, type ModelConfig } from '@kvsift/models';
import { type Backend, KvsiftError } from '@kvsift/tensor';
import { loadTokenizer, type Tokenizer } from '@kvsift/tokenizer';
import { openWeights, readModelConfig, type WeightFile } from '@kvsift/weights';
import { throwIfAborted } from './abort.js';
import { LanguageModel } from './language-model.js';

/** What `load` needs besides the path. */
export interface LoadOptions {
  /** What computes: `createCpuBackend()`, `createReferenceBackend()`, … The model does not own it. */
  readonly backend: Backend;
  /** Longest sequence in tokens. Default: what the model was made for. A larger one is allowed and may answer badly. */
  readonly contextLength?: number;
  readonly signal?: AbortSignal;
  /** Layers loaded so far, of all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** A model on disk: headers, config and vocabulary, no weights. */
export interface ModelFiles {
  readonly path: string;
  readonly weights: WeightFile;
  readonly config: ModelConfig;
  /** Absent where the files have no tokenizer. */
  readonly tokenizer?: Tokenizer;
  readonly eosIds: ReadonlySet<number>;
}

/** Headers and config, and the vocabulary where it is wanted. */
interface OpenedModel {
  readonly path: string;
  readonly weights: WeightFile;
  readonly config: ModelConfig;
  /** Reads the tokenizer. */
  files(): Promise<ModelFiles>;
}

async function openHeaders(path: string): Promise<OpenedModel> {
  const weights = await openWeights(path);
  if (weights.format === 'gguf') {
    const config = await configFromGguf({
      path,
      value: (key) => weights.metadata.get(key),
      floats: async (name) => {
        const stored = weights.tensors.get(name);
        return stored && weights.readFloat32(stored);
      },
      rows: (name) => weights.tensors.get(name)?.shape[0],
    });
    return {
      ...{ path, weights, config },
      async files() {
        const tokenizer = weights.metadata.has('tokenizer.ggml.model') ? await loadTokenizer(weights) : undefined;
        return { path, weights, config, ...(tokenizer && { tokenizer }), eosIds: new Set(tokenizer?.eosIds) };
      },
    };
  }
  const { config: json, generation } = await readModelConfig(path);
  const config = configFromHuggingFace(json, `${path}/config.json`);
  return {
    ...{ path, weights, config },
    async files() {
      const tokenizer = await loadTokenizer(path).catch((error: unknown) => {
        if (error instanceof KvsiftError && error.code === 'file_not_found') return undefined;
        throw error;
      });
      const eos = [generation?.eos_token_id, json.eos_token_id, tokenizer?.eosIds].flat().filter((id) => typeof id === 'number');
      return { path, weights, config, ...(tokenizer && { tokenizer }), eosIds: new Set(eos) };
    },
  };
}

/**
 * Opens a .gguf file or a Hugging Face folder without loading its weights.
 * @throws KvsiftError `file_not_found`, `file_malformed`, `config_invalid`, `model_unsupported`, `tokenizer_invalid`
 */
export async function openModel(path: string): Promise<ModelFiles> {
  return (await openHeaders(path)).files();
}

/**
 * Loads a model for inference.
 * @param path a .gguf file or a Hugging Face folder
 * @throws KvsiftError as `openModel`, and `aborted`, `out_of_memory`
 */
export async function load(path: string, options: LoadOptions): Promise<LanguageModel> {
  throwIfAborted(options.signal, 'loading');
  if (typeof options.backend?.upload !== 'function')
    throw new KvsiftError('invalid_argument', 'backend must be what computes, such as createCpuBackend() of @kvsift/backend-cpu');
  const opened = await openHeaders(path);
  const { config, weights } = opened;
  const { contextLength = config.contextLength, onProgress } = options;
  if (!Number.isInteger(contextLength) || contextLength < 1) {
    throw new KvsiftError('invalid_argument', `contextLength must be a positive integer, not ${contextLength}`);
  }
  const useless = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, useless.signal]) : useless.signal;
  const loading = DecoderModel.load(
    options.backend,
    { config, format: weights.format, tensors: weights.tensors, path },
    { signal, ...(onProgress && { onProgress }) },
  );
  // The backend reads weights while this thread makes the tokenizer, and stops where that fails.
  const reading = opened.files();
  reading.catch(() => useless.abort());
  const [decoder, files] = await Promise.allSettled([loading, reading]);
  if (files.status === 'rejected') {
    if (decoder.status === 'fulfilled') decoder.value.dispose();
    throw files.reason;
  }
  if (decoder.status === 'rejected') throw decoder.reason;
  return new LanguageModel(decoder.value, files.value, contextLength);
}
