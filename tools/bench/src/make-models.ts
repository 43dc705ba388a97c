import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { byteLength, KvsiftError, type StoredTensor } from '@kvsift/tensor';
import { type MetadataValue, openWeights } from '@kvsift/weights';
import { type Metadata, type WrittenTensor, writeGguf } from './gguf-writer.js';
import { quantize, type WrittenType } from './quantize.js';

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Metadata in the type that llama.cpp expects for the key. */
function metadataOf(key: string, value: MetadataValue): Metadata {
  if (typeof value === 'string') return { type: 'string', value };
  if (typeof value === 'boolean') return { type: 'bool', value };
  if (Array.isArray(value)) {
    const list = value as readonly MetadataValue[];
    if (list.every((item) => typeof item === 'string')) return { type: 'strings', value: list as readonly string[] };
    const numbers = list.map(Number);
    return { type: key.endsWith('scores') ? 'f32s' : 'i32s', value: numbers };
  }
  const number = Number(value);
  const isFloat = /(epsilon|freq_base|factor|scale)$/.test(key);
  return { type: isFloat ? 'f32' : 'u32', value: number };
}

/** The same model with its matrices in another format (the embedding stays Q8_0). Made once, then found in `folder`. */
export async function requantized(source: string, type: 'q4_0' | 'q8_0', folder: string): Promise<string> {
  const path = join(folder, `smollm2-135m-${type}.gguf`);
  if (await exists(path)) return path;
  await mkdir(folder, { recursive: true });
  const file = await openWeights(source);
  const metadata = new Map([...file.metadata].map(([key, value]) => [key, metadataOf(key, value)]));
  const tensors = [...file.tensors.values()].map((stored): WrittenTensor => {
    const matrix = stored.shape.length === 2;
    const target: WrittenType = !matrix ? 'f32' : stored.name === 'token_embd.weight' ? 'q8_0' : type;
    return {
      name: stored.name,
      type: target,
      shape: stored.shape,
      byteLength: byteLength(target, stored.shape),
      bytes: () => convert(stored, target),
    };
  });
  const convert = async (stored: StoredTensor, target: WrittenType): Promise<Uint8Array> => {
    if (stored.dtype === target) return file.readBytes(stored);
    const values = await file.readFloat32(stored);
    return target === 'f32' ? new Uint8Array(values.buffer) : quantize(target, values);
  };
  await writeGguf(path, metadata, tensors);
  return path;
}

/** Sizes of the "1B shape": a Llama 3.2 1B with a small vocabulary. */
const shape = {
  layers: 16,
  hidden: 2048,
  intermediate: 8192,
  queryHeads: 32,
  kvHeads: 8,
  headDim: 64,
  vocabulary: 49152,
  context: 16384,
};

/** Random weights of the 1B shape, with the vocabulary of `vocabularySource` so that every peer loads it. */
export async function randomBillion(vocabularySource: string, type: 'q4_0' | 'q8_0', folder: string): Promise<string> {
  const path = join(folder, `random-1b-${type}.gguf`);
  if (await exists(path)) return path;
  await mkdir(folder, { recursive: true });
  const donor = await openWeights(vocabularySource);
  const metadata = new Map<string, Metadata>();
  for (const [key, value] of donor.metadata) if (key.startsWith('tokenizer.')) metadata.set(key, metadataOf(key, value));
  const { layers, hidden, intermediate, queryHeads, kvHeads, headDim, vocabulary, context } = shape;
  const counts: readonly (readonly [string, number])[] = [
    ['block_count', layers],
    ['embedding_length', hidden],
    ['feed_forward_length', intermediate],
    ['attention.head_count', queryHeads],
    ['attention.head_count_kv', kvHeads],
    ['context_length', context],
    ['rope.dimension_count', headDim],
    ['vocab_size', vocabulary],
  ];
  metadata.set('general.architecture', { type: 'string', value: 'llama' });
  for (const [key, value] of counts) metadata.set(`llama.${key}`, { type: 'u32', value });
  metadata.set('llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 });
  metadata.set('llama.rope.freq_base', { type: 'f32', value: 500000 });
  const matrix = (name: string, rows: number, columns: number, format: 'q4_0' | 'q8_0' = type): WrittenTensor => ({
    name,
    type: format,
    shape: [rows, columns],
    byteLength: byteLength(format, [rows, columns]),
    bytes: () => randomMatrix(rows, columns, format),
  });
  const ones = (name: string): WrittenTensor => ({
    name,
    type: 'f32',
    shape: [hidden],
    byteLength: 4 * hidden,
    bytes: () => new Uint8Array(new Float32Array(hidden).fill(1).buffer),
  });
  const blocks = Array.from({ length: layers }, (_, layer) => {
    const name = (part: string) => `blk.${layer}.${part}.weight`;
    return [
      ones(name('attn_norm')),
      matrix(name('attn_q'), queryHeads * headDim, hidden),
      matrix(name('attn_k'), kvHeads * headDim, hidden),
      matrix(name('attn_v'), kvHeads * headDim, hidden),
      matrix(name('attn_output'), hidden, queryHeads * headDim),
      ones(name('ffn_norm')),
      matrix(name('ffn_gate'), intermediate, hidden),
      matrix(name('ffn_up'), intermediate, hidden),
      matrix(name('ffn_down'), hidden, intermediate),
    ];
  });
  await writeGguf(path, metadata, [
    matrix('token_embd.weight', vocabulary, hidden, 'q8_0'),
    ...blocks.flat(),
    ones('output_norm.weight'),
  ]);
  return path;
}

/** Values spread like those of a trained matrix: their size does not matter to speed, their being finite does. */
function randomMatrix(rows: number, columns: number, type: 'q4_0' | 'q8_0'): Uint8Array {
  let state = (rows * 31 + columns) >>> 0;
  const values = new Float32Array(columns * Math.min(rows, 256));
  for (let index = 0; index < values.length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[index] = (state / 2 ** 32 - 0.5) * (3.4 / Math.sqrt(columns));
  }
  const part = quantize(type, values);
  const out = new Uint8Array(byteLength(type, [rows, columns]));
  for (let at = 0; at < out.length; at += part.length) out.set(part.subarray(0, Math.min(part.length, out.length - at)), at);
  if (out.length === 0) throw new KvsiftError('invalid_argument', 'an empty matrix');
  return out;
}
