import { join } from 'node:path';
import { isKvsiftError } from '@kvsift/tensor';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import type { Session } from './session.js';
import { madeModel } from './testing/made-model.js';
import { expressions, names, registry } from './testing/policy-expressions.js';
import { smallModel } from './testing/random-model.js';

/** Compositions and settings that the list of all policies lacks. */
const more = [
  'decoding(tova)',
  'decoding(random, of=seen)',
  'decoding(snapkv(window=4), interval=3)',
  'decoding(scissorhands(importance=attention, temperature=1, recent=2))',
  'rerotate(decoding(streaming-llm(sinks=1), interval=2))',
  'rerotate(merging(decoding(knorm)))',
  'rerotate(finch(question=3, segment=7))',
  'rerotate(sequence(first=knorm, second=lagkv(lag=3, sinks=1)))',
  'ratchet(phases(prompt=knorm, answer=decoding(tova)))',
  'merging(decoding(h2o(window=2)), method=cam, window=3)',
  'phases(prompt=cake(window=3), answer=decoding(h2o(window=2), target=3))',
  'think(snapkv(window=4), recent=4)',
  'quest(pageSize=4, fullLayers=1, groupReduction=none)',
  'threshold(random, threshold=0.5, window=3)',
  'noncausal(chunk=3)',
  'h2o(mask=window, window=5)',
];
const plain = madeModel();
const windowed = madeModel({ ...smallModel, window: 9 });
const id = fc.integer({ min: 0, max: smallModel.vocabulary - 1 });
const action = fc.oneof(
  fc.record({ do: fc.constant('force' as const), id }),
  fc.record({ do: fc.constant('turn' as const), ids: fc.array(id, { minLength: 1, maxLength: 12 }) }),
  fc.record({ do: fc.constant('fork' as const), id }),
  fc.record({ do: fc.constant('save' as const), id }),
  fc.record({ do: fc.constant('rollback' as const), id }),
);

async function agree(own: Session, other: Session, what: string, next: number): Promise<void> {
  const [mine, its] = [await own.force(next), await other.force(next)];
  if (mine.join() !== its.join()) throw new Error(`${what} goes on in another way`);
}

describe('any policy under any treatment', () => {
  it.each([...names.map((name) => expressions[name] ?? name), ...more])(
    '%s: forks and saved sessions go on as it does, numbers stay numbers, entries stay in order',
    async (expression) => {
      const settings = {
        hasWindow: fc.boolean(),
        prompt: fc.array(id, { minLength: 1, maxLength: 40 }),
        budget: fc.constantFrom(1, 2, 6, 12, 30, '20%', '50%', '100%', '1%', '2KiB', '6KiB'),
        layout: fc.constantFrom('flattened' as const, 'paged' as const),
        kvType: fc.constantFrom('f32' as const, 'f16' as const),
        actions: fc.array(action, { maxLength: 6 }),
      };
      const property = fc.asyncProperty(fc.record(settings), async ({ hasWindow, prompt, budget, layout, kvType, actions }) => {
        const { model, folder } = hasWindow ? windowed : plain;
        const options = { policy: registry.parse(expression), budget, layout, kvType, blockSize: 4, trackPositions: true };
        using session = model.session(options);
        try {
          await session.prefill(prompt);
        } catch (error) {
          // What a policy protects may not fit the budget, and then it says so.
          if (isKvsiftError(error) && error.code === 'budget_invalid') return;
          throw error;
        }
        for (const act of actions) {
          if (act.do === 'turn') await session.prefill(act.ids);
          else if (act.do === 'fork') {
            using twin = session.fork();
            await agree(session, twin, 'a fork', act.id);
          } else if (act.do === 'save') {
            const path = join(folder, 'any.safetensors');
            await session.save(path);
            using restored = await model.restore(path, options);
            for (const next of [act.id, 7]) await agree(session, restored, 'what was saved', next);
          } else if (act.do === 'rollback' && !takesBack(session)) continue;
          else if (!(await session.force(act.id)).every(Number.isFinite)) throw new Error('logits are no numbers');
        }
        for (let layer = 0; layer < smallModel.layers; layer++)
          for (const own of await session.retained(layer))
            if (own.some((position, at) => at > 0 && position <= (own[at - 1] ?? 0))) throw new Error(`positions ${own.join()}`);
      });
      await fc.assert(property, { numRuns: 15, seed: 2026 });
    },
  );
});

/** Takes back one token, where the policy can and no eviction lies in between. */
function takesBack(session: Session): boolean {
  try {
    session.rollback(1);
    return true;
  } catch (error) {
    if (isKvsiftError(error) && (error.code === 'unsupported' || error.code === 'invalid_argument')) return false;
    throw error;
  }
}
