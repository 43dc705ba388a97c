import { join } from 'node:path';
import { snapkv } from '@kvsift/policy-snapkv';
import { KvsiftError } from '@kvsift/tensor';
import { describe, expect, it } from 'vitest';
import type { GenerateOptions } from './answer.js';
import type { Prompt } from './language-model.js';
import { type LoadOptions, load } from './load.js';
import type { SessionOptions } from './session-options.js';
import { madeModel } from './testing/made-model.js';

const made = madeModel();
const { backend } = made;
const policy = snapkv({ window: 4 });

/** What a caller without types gets for an option or a prompt. */
async function refusal(options: unknown, prompt: unknown): Promise<string> {
  try {
    const chunks = made.model.generate(prompt as Prompt, options as SessionOptions & GenerateOptions);
    for await (const { id } of chunks) expect(id).toBeGreaterThanOrEqual(0);
    return 'accepted';
  } catch (error) {
    expect(error).toBeInstanceOf(KvsiftError);
    return error instanceof Error ? error.message : '';
  }
}

describe('callers without types', () => {
  it.each([
    [{ policy: 'snapkv', budget: 8 }, 'policy must be a policy such as snapkv(), not "snapkv"'],
    [{ policy: () => policy, budget: 8 }, 'policy must be a policy such as snapkv(), not a function'],
    [{ kvType: 'i8' }, 'kvType must be one of f32, f16, bf16, q8_0, not "i8"'],
    [{ layout: 'x' }, 'layout must be one of dense, flattened, paged, not "x"'],
    [{ policy, budget: {} }, 'budget.kind must be one of tokens, share, bytes, not "none"'],
    [{ policy, budget: null }, 'budget must be tokens (512), a share ("20%") or bytes ("64MiB"), not null'],
    [{ policy, budget: { kind: 'share', numerator: 1, denominator: 0 } }, 'a budget has numbers above 0'],
    [{ temperature: '1' }, 'temperature must be a number between 0 and 100, not "1"'],
    [{ stop: 5 }, 'stop must be texts, not 5'],
    [{ stop: [1] }, 'stop must be texts, not [1]'],
  ])('%o: %s', async (options, message) => {
    expect(await refusal(options, [1, 2, 3])).toContain(message);
  });

  it.each([
    [undefined, 'a prompt is text, token ids or messages, not undefined'],
    [null, 'a prompt is text, token ids or messages, not null'],
    [5, 'a prompt is text, token ids or messages, not 5'],
    [[1.5], 'token id 1.5 is not in the vocabulary'],
    [[Number.NaN], 'token id NaN is not in the vocabulary'],
    [['a'], 'token id a is not in the vocabulary'],
    [[60000], 'token id 60000 is not in the vocabulary'],
    [[], 'the prompt is empty'],
  ])('prompt %o: %s', async (prompt, message) => {
    expect(await refusal({}, prompt)).toContain(message);
  });

  it('stop may be one text', async () => {
    expect(await refusal({ stop: 'x', maxTokens: 2 }, [1, 2, 3])).toBe('accepted');
  });

  it('a backend and a context must be what they are called', async () => {
    await expect(load(join(made.folder, 'model'), {} as LoadOptions)).rejects.toMatchObject({ code: 'invalid_argument' });
    for (const context of [-1, 0, 1.5, 2 ** 53, Number.NaN]) {
      expect(() => made.model.estimate({ context })).toThrow('context must be a positive integer');
    }
  });
});

describe('a disposed model', () => {
  it('ends the answers in progress and starts none; no memory stays', async () => {
    const before = backend.memory().bytes;
    const own = await load(join(made.folder, 'model'), { backend });
    const chunks = own.generate([1, 2, 3], { maxTokens: 50, ignoreEos: true });
    await chunks.next();
    const next = chunks.next();
    own.dispose();
    await expect(next).rejects.toMatchObject({ code: 'disposed' });
    expect(() => own.session()).toThrow('this model was disposed');
    own.dispose();
    await backend.finish();
    expect(backend.memory().bytes).toBe(before);
  });
});
