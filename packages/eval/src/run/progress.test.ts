import { describe, expect, it, vi } from 'vitest';
import { Progress } from './progress.js';

const text = (characters: number, maxNewTokens = 10) => ({ characters, maxNewTokens });

describe('Progress', () => {
  it('expects long texts to take longer than those so far', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const progress = new Progress(3);
    for (const length of [1000, 1000, 50_000]) progress.plan(text(length), 1, 0);
    vi.advanceTimersByTime(1000);
    progress.add({ prefillSeconds: 0.8, decodeSeconds: 0.2 }, text(1000));
    vi.advanceTimersByTime(1000);
    const { done, total, remainingSeconds } = progress.add({ prefillSeconds: 0.8, decodeSeconds: 0.2 }, text(1000));
    vi.useRealTimers();
    expect([done, total]).toEqual([2, 3]);
    // 0.8 s for 1,000 characters, 0.2 s for 10 tokens.
    expect(remainingSeconds).toBeCloseTo(50 * 0.8 + 0.2, 6);
  });

  it('leaves out what is stored, and counts what several cells have in common as often as they take it', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const progress = new Progress(6);
    progress.plan(text(100, 4), 3, 3);
    progress.plan(text(200, 4), 3, 1);
    expect(progress.done).toBe(4);
    vi.advanceTimersByTime(500);
    // Two answers at a time: half of what they took.
    expect(progress.add({ prefillSeconds: 0.9, decodeSeconds: 0.1 }, text(200, 4)).remainingSeconds).toBeCloseTo(0.5, 6);
    expect(progress.add({ prefillSeconds: 0.9, decodeSeconds: 0.1 }, text(200, 4)).remainingSeconds).toBeCloseTo(0, 6);
    vi.useRealTimers();
  });

  it('counts samples where no speed is known', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const progress = new Progress(4);
    for (let i = 0; i < 4; i++) progress.plan(text(10), 1, 0);
    vi.advanceTimersByTime(2000);
    expect(progress.add({ prefillSeconds: 0, decodeSeconds: 0 }, text(10)).remainingSeconds).toBeCloseTo(6, 6);
    vi.useRealTimers();
  });
});
