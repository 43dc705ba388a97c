import { KvsiftError } from '@kvsift/tensor';
import type { SessionModel } from './session-options.js';

/** Token ids of what a session is given. @throws KvsiftError `invalid_argument` for an id outside the vocabulary, or text without a tokenizer */
export function encode(model: SessionModel, input: string | readonly number[] | Int32Array, addSpecial: boolean): Int32Array {
  if (typeof input !== 'string') return Int32Array.from(input, (id) => checkId(model, id));
  const { tokenizer } = model;
  if (tokenizer === undefined)
    throw new KvsiftError('invalid_argument', 'this model has no tokenizer: pass token ids instead of text');
  return tokenizer.encode(input, { addSpecial });
}

/** @throws KvsiftError `invalid_argument` */
export function checkId(model: Pick<SessionModel, 'decoder'>, id: number): number {
  const { vocabulary } = model.decoder.config;
  if (Number.isInteger(id) && id >= 0 && id < vocabulary) return id;
  throw new KvsiftError('invalid_argument', `token id ${String(id)} is not in the vocabulary of ${vocabulary}`, { id });
}

/** @throws KvsiftError `context_length_exceeded` where the context holds fewer than `tokens` */
export function checkLength({ contextLength }: SessionModel, tokens: number): void {
  if (tokens <= contextLength) return;
  throw new KvsiftError(
    'context_length_exceeded',
    `the text has ${tokens} tokens, the context holds ${contextLength}: shorten it, or load the model with a larger contextLength`,
    { tokens, contextLength },
  );
}
