import { type LanguageModel, type ModelFiles, prefillMany, type Session } from '@kvsift/engine';
import type { KvType } from '@kvsift/tensor';
import type { Tokenizer } from '@kvsift/tokenizer';
import type { AnswerRequest, CacheSetting, Question, Retention, SharedAnswer } from './contract.js';

/** A model that answers, and how it stores what it reads. */
export interface Reader {
  readonly model: LanguageModel;
  readonly files: ModelFiles;
  readonly tokenizer: Tokenizer;
  readonly kvType: KvType | undefined;
}

/** Reads a context once for each way in which the caches of the settings are laid out, and answers for one setting after the other. */
export async function* answers(
  reader: Reader,
  request: Omit<AnswerRequest, 'setting'>,
  settings: readonly CacheSetting[],
  ids: Int32Array,
): AsyncGenerator<SharedAnswer> {
  const { model, kvType } = reader;
  const { retention = false } = request;
  const open = (setting: CacheSetting) => model.session({ ...setting, ...(kvType && { kvType }), trackPositions: retention });
  const all = settings.map((setting, index) => ({ index, session: open(setting) }));
  try {
    const parts = new Map<string, typeof all>();
    for (const one of all) {
      const { layout } = one.session.cache.options;
      parts.set(layout, [...(parts.get(layout) ?? []), one]);
    }
    for (const part of parts.values()) yield* answersOf(reader, request, part, ids);
  } finally {
    for (const { session } of all) session.dispose();
  }
}

async function* answersOf(
  reader: Reader,
  { questions, signal, onProgress, retention = false }: Omit<AnswerRequest, 'setting'>,
  part: readonly { readonly index: number; readonly session: Session }[],
  ids: Int32Array,
): AsyncGenerator<SharedAnswer> {
  const sessions = part.map(({ session }) => session);
  const [alone, another] = sessions;
  const started = performance.now();
  const options = {
    ...(signal && { signal }),
    ...(onProgress && { onProgress: (done: number, total: number) => onProgress(done / total) }),
  };
  if (another === undefined) await alone?.prefill(ids, options);
  else await prefillMany(reader.model.decoder, sessions, ids, options);
  const prefillSeconds = (performance.now() - started) / 1000;
  let read = true;
  for (const { index: setting, session } of part) {
    const shared = { contextTokens: ids.length, prefillSeconds, cacheBytes: session.statistics().bytes };
    const kept = retention ? await readRetention(session, reader, ids) : undefined;
    for (const [index, question] of questions.entries()) {
      // The last question may use up the session itself, so that policies which cannot fork still answer one.
      const own = index === questions.length - 1 ? session : session.fork();
      try {
        const answer = await generate(own, question, signal);
        yield { setting, read, answer: { ...shared, ...answer, ...(index === 0 && kept && { retention: kept }) } };
        read = false;
      } finally {
        own.dispose();
      }
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

async function readRetention(session: Session, { files, tokenizer }: Reader, ids: Int32Array): Promise<Retention> {
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
