import type { LanguageModel, Session } from '@kvsift/engine';
import { KvsiftError } from '@kvsift/tensor';

/** Which tokens of a prompt each layer and head kept. */
export interface Retention {
  /** The prompt, token by token. */
  readonly tokens: readonly string[];
  /** [layers][kvHeads]: kept positions, ascending. */
  readonly kept: readonly (readonly Int32Array[])[];
}

/** What `readRetention` needs of a model and of a session. */
type Holder = Pick<Session, 'retained'> & { readonly cache: Pick<Session['cache'], 'numberedAnew'> };
type Reader = Pick<LanguageModel, 'decoder' | 'tokenizer'>;

/**
 * Reads what a session that tracks positions holds of its prompt.
 * @throws KvsiftError `unsupported` where survivors have new positions and layers remember no others
 */
export async function readRetention(model: Reader, session: Holder, ids: Int32Array): Promise<Retention> {
  const windowed = model.decoder.config.layers.filter(({ window }) => window !== undefined).length;
  if (session.cache.numberedAnew && windowed > 0) {
    throw new KvsiftError(
      'unsupported',
      `the policy gives survivors new positions, and layers with a sliding window (${windowed} here) remember only those: look at the policy without rerotate`,
    );
  }
  const kept: Int32Array[][] = [];
  for (let layer = 0; layer < model.decoder.layers.length; layer++) kept.push(await session.retained(layer));
  // As a stream: a token alone knows neither the space before it nor the rest of its character.
  const stream = model.tokenizer?.stream();
  return { tokens: Array.from(ids, (id) => stream?.push(id) ?? ''), kept };
}

/** Share of the chosen layers' heads that kept each token, 0 … 1. */
export function shares({ tokens, kept }: Retention, layer?: number, head?: number): Float64Array {
  const layers = layer === undefined ? kept : [kept[layer] ?? []];
  const heads = layers.flatMap((own) => (head === undefined ? own : [own[head] ?? new Int32Array()]));
  const sums = new Float64Array(tokens.length);
  for (const positions of heads) for (const position of positions) sums[position] = (sums[position] ?? 0) + 1;
  return sums.map((sum) => sum / Math.max(1, heads.length));
}
