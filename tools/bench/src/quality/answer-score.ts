import type { LanguageModel, Session } from '@kvsift/engine';
import { scoreToken } from '@kvsift/eval-lm';
import type { Tensor } from '@kvsift/tensor';

/** Of one answer: whether greedy decoding finds it, the share of digits right (each behind the right ones before it), mean log-probability of a token. */
export type AnswerScore = readonly [exact: number, digits: number, logProbability: number];

/** Feeds what leads to the answer and the answer itself, and scores each of its tokens. Greedy decoding repeats it exactly where all are right. */
export async function scoreAnswer(
  model: LanguageModel,
  session: Session,
  fed: readonly number[],
  answer: readonly number[],
): Promise<AnswerScore> {
  const { decoder } = model;
  const rows: Tensor[] = [];
  await session.prefill([...fed, ...answer.slice(0, -1)], {
    onLayer: ({ layer, hidden }) => {
      if (layer < decoder.layers.length - 1) return;
      rows.push(decoder.backend.concat(hidden, 0));
    },
  });
  const [all] = rows;
  if (all === undefined) throw new Error('no layer was read');
  const end = all.shape[0] ?? 0;
  using wanted = decoder.backend.slice(all, 0, end - answer.length, end);
  all.dispose();
  using logits = decoder.logits(wanted);
  const numbers = (await logits.read()) as Float32Array;
  const width = decoder.config.vocabulary;
  const scores = answer.map((id, at) => scoreToken(numbers.subarray(at * width, (at + 1) * width), id));
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const right = scores.map(({ correct }): number => correct);
  return [Math.min(...right), mean(right), -mean(scores.map(({ nll }) => nll))];
}
