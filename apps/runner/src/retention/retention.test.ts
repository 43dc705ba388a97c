import { describe, expect, it } from 'vitest';
import { readRetention, shares } from './retention.js';

type Arguments = Parameters<typeof readRetention>;

const modelOf = (windows: readonly (number | undefined)[]) =>
  ({
    decoder: { config: { layers: windows.map((window) => ({ window })) }, layers: windows },
    tokenizer: undefined,
  }) as unknown as Arguments[0];
const sessionOf = (numberedAnew: boolean): Arguments[1] => ({
  cache: { numberedAnew },
  retained: async (layer) => [Int32Array.of(layer, 3)],
});
const ids = Int32Array.of(7, 8, 9, 10);

describe('readRetention', () => {
  it('reads every layer, and what share of them kept a token', async () => {
    const retention = await readRetention(modelOf([undefined, 8]), sessionOf(false), ids);
    expect(retention.kept).toEqual([[Int32Array.of(0, 3)], [Int32Array.of(1, 3)]]);
    expect([...shares(retention)]).toEqual([0.5, 0.5, 0, 1]);
    expect([...shares(retention, 1)]).toEqual([0, 1, 0, 1]);
    await expect(readRetention(modelOf([undefined]), sessionOf(true), ids)).resolves.toBeDefined();
  });

  it('shows spaces that tokens have before them, and no halves of characters', async () => {
    const pieces = [' The', '', '日'];
    const tokenizer = { stream: () => ({ push: () => pieces.shift() ?? '' }), decode: () => '\ufffd' };
    const model = { ...modelOf([undefined]), tokenizer } as unknown as Arguments[0];
    expect((await readRetention(model, sessionOf(false), ids)).tokens).toEqual([' The', '', '日', '']);
  });

  it('does not take new positions for those of the text', async () => {
    await expect(readRetention(modelOf([undefined, 8]), sessionOf(true), ids)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('layers with a sliding window (1 here)'),
    });
  });
});
