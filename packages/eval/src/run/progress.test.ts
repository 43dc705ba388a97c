import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Progress } from './progress.js';

const text = (characters: number, maxNewTokens = 10) => ({ characters, maxNewTokens });
const contextLength = 10_000;
const refused = { prefillSeconds: 0, decodeSeconds: 0 };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

it('expects long texts to take longer than those so far', () => {
  const progress = new Progress(4, contextLength);
  for (const length of [1000, 1000, 1000, 50_000]) progress.plan(text(length), 1, 0);
  const add = () => {
    vi.advanceTimersByTime(1000);
    return progress.add({ prefillSeconds: 0.8, decodeSeconds: 0.2 }, text(1000));
  };
  add();
  add();
  const { done, total, remainingSeconds } = add();
  expect([done, total]).toEqual([3, 4]);
  // 0.8 s for 1,000 characters, 0.2 s for 10 tokens.
  expect(remainingSeconds).toBeCloseTo(50 * 0.8 + 0.2, 6);
});

it('leaves out what is stored, and counts what several cells have in common as often as they take it', () => {
  const progress = new Progress(8, contextLength);
  progress.plan(text(100, 4), 4, 4);
  progress.plan(text(200, 4), 4, 0);
  expect(progress.done).toBe(4);
  vi.advanceTimersByTime(1500);
  // Two answers at a time: half of what they took.
  const add = () => progress.add({ prefillSeconds: 0.9, decodeSeconds: 0.1 }, text(200, 4)).remainingSeconds;
  expect([add(), add()]).toEqual([undefined, undefined]);
  expect(add()).toBeCloseTo(0.5, 6);
  expect(add()).toBeCloseTo(0, 6);
});

it('counts samples where no speed is known', () => {
  const progress = new Progress(6, contextLength);
  for (let i = 0; i < 6; i++) progress.plan(text(10), 1, 0);
  vi.advanceTimersByTime(3000);
  progress.add(refused, text(10));
  progress.add(refused, text(10));
  expect(progress.add(refused, text(10)).remainingSeconds).toBeCloseTo(3, 6);
});

it('says nothing before there is something to tell, a single long sample excepted', () => {
  const progress = new Progress(3, contextLength);
  for (let i = 0; i < 3; i++) progress.plan(text(1000), 1, 0);
  vi.advanceTimersByTime(20_000);
  expect(progress.add({ prefillSeconds: 1, decodeSeconds: 0 }, text(1000))).toEqual({ done: 1, total: 3 });
  vi.advanceTimersByTime(20_000);
  expect(progress.add({ prefillSeconds: 19, decodeSeconds: 0 }, text(1000)).remainingSeconds).toBeCloseTo(20, 6);
});

it('expects no time for texts that no context holds, and learns no speed from those that are refused', () => {
  const progress = new Progress(6, contextLength);
  for (const length of [1000, 1000, 1000, 1000, 10_000_000, 100_000]) progress.plan(text(length), 1, 0);
  const add = () => {
    vi.advanceTimersByTime(1000);
    return progress.add({ prefillSeconds: 1, decodeSeconds: 0 }, text(1000)).remainingSeconds;
  };
  add();
  add();
  expect(add()).toBeCloseTo(101, 6);
  expect(progress.add(refused, text(10_000_000)).remainingSeconds).toBeCloseTo(101, 6);
  expect(progress.add(refused, text(100_000)).remainingSeconds).toBeCloseTo(1, 6);
});
