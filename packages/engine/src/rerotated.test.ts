import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { generateBatch } from './batch.js';
import type { Session } from './session.js';
import { madeModel, madePrompt } from './testing/made-model.js';
import { registry } from './testing/policy-expressions.js';
import { smallModel } from './testing/random-model.js';

const made = madeModel();
const windowed = madeModel({ ...smallModel, window: 12 });
const prompt = madePrompt(48);
const upTo = (count: number, first = 0) => Array.from({ length: count }, (_, at) => first + at);

async function retained(session: Session, layer = 1): Promise<number[]> {
  const heads = await session.retained(layer);
  for (const head of heads) expect(head).toEqual(heads[0]);
  return [...(heads[0] ?? [])];
}

describe('a session whose survivors get new positions', () => {
  it('tells positions in the text, also behind a second turn, a rollback, a fork and a file', async () => {
    const options = { policy: registry.parse('rerotate(streaming-llm)'), budget: 16, trackPositions: true };
    const sinksAndRest = (end: number) => [0, 1, 2, 3, ...upTo(end - 36, 36)];
    using session = made.model.session(options);
    await session.prefill(prompt);
    expect(await retained(session)).toEqual(sinksAndRest(48));
    for (const id of [3, 8]) await session.force(id);
    await session.prefill([4, 5, 6]);
    expect(await retained(session)).toEqual(sinksAndRest(53));
    session.rollback(2);
    expect(await retained(session)).toEqual(sinksAndRest(51));
    await session.force(9);
    using twin = session.fork();
    const path = join(made.folder, 'turned.safetensors');
    await session.save(path);
    using restored = await made.model.restore(path, options);
    const logits = await session.force(7);
    for (const one of [twin, restored]) expect(await one.force(7)).toEqual(logits);
    for (const one of [session, twin, restored]) expect(await retained(one)).toEqual(sinksAndRest(53));
  });

  it('tells positions in the text while it evicts, as the policy does without new positions', async () => {
    const of = (expression: string) =>
      made.model.session({ policy: registry.parse(expression), budget: 16, trackPositions: true });
    using plain = of('decoding(streaming-llm, interval=2)');
    using turned = of('rerotate(decoding(streaming-llm, interval=2))');
    for (const session of [plain, turned]) {
      await session.prefill(prompt);
      for (const id of [3, 8, 1, 7, 5]) await session.force(id);
    }
    expect(await retained(turned)).toEqual(await retained(plain));
    expect(turned.cache.nextPosition).toBe(17);
  });

  it.each([
    ['rerotate(per-layer(knorm, weights=[1, 3, 2]))', [9, 23, 16]],
    ['rerotate(knorm(skipLayers=[1], keepRatio=0.25))', [12, 48, 12]],
  ])('%s: the next token comes right behind what each layer holds', async (expression, lengths) => {
    using session = made.model.session({ policy: registry.parse(expression), budget: 16 });
    await session.prefill(prompt);
    expect(lengths.map((_, layer) => session.cache.layer(layer).view.maxLength)).toEqual(lengths);
    await session.force(9);
    await session.prefill([9, 9]);
    expect(session.cache.nextPosition).toBe(Math.max(...lengths) + 3);
    // Keys of the first layer depend on the token and its position only.
    using alone = made.model.session();
    const first = lengths[0] ?? 0;
    await alone.prefill([...upTo(first), 9, 9, 9]);
    const [expected, actual] = await Promise.all(
      [alone, session].map(({ cache }) => made.backend.kvRead(cache.layer(0).view, 'keys', first, first + 3).read()),
    );
    for (const [index, value] of (expected ?? []).entries()) expect(actual?.[index]).toBeCloseTo(value, 5);
  });

  it('answers in a batch with others as it does alone', async () => {
    const expressions = ['rerotate(per-layer(knorm, weights=[1, 3, 2]))', 'knorm', 'rerotate(decoding(tova))'];
    const open = async (expression: string) => {
      const session = windowed.model.session({ policy: registry.parse(expression), budget: 10 });
      await session.prefill(prompt);
      return session;
    };
    const options = { maxTokens: 7, ignoreEos: true };
    const alone: number[][] = [];
    for (const expression of expressions) {
      using session = await open(expression);
      const ids: number[] = [];
      for await (const { id } of session.generate(options)) ids.push(id);
      alone.push(ids);
    }
    const sessions = await Promise.all(expressions.map(open));
    const together: number[][] = expressions.map(() => []);
    const each = expressions.map(() => options);
    for await (const { id, session } of generateBatch(windowed.model.decoder, sessions, each)) together[session]?.push(id);
    expect(together).toEqual(alone);
    for (const session of sessions) session.dispose();
  });

  it('scores while decoding as without a sliding window, where that hides nothing', async () => {
    const policy = registry.parse('rerotate(decoding(tova))');
    const answers = [made, windowed].map(async ({ model }) => {
      using session = model.session({ policy, budget: 8 });
      await session.prefill(prompt.subarray(0, 12));
      const logits: Float32Array[] = [];
      for (const id of upTo(12)) logits.push(await session.force(id));
      return logits;
    });
    const [plain, hidden] = await Promise.all(answers);
    for (const [step, logits] of (plain ?? []).entries())
      for (const [index, value] of logits.entries()) expect(hidden?.[step]?.[index]).toBeCloseTo(value, 4);
  });
});
