import { expect, it } from 'vitest';
import { RunClock } from './clock.js';

const sample = (prefillSeconds: number, firstTokenSeconds: number | undefined, decodeSeconds: number) => ({
  prefillSeconds,
  ...(firstTokenSeconds !== undefined && { firstTokenSeconds }),
  decodeSeconds,
});

it('counts a context that several questions share once, and everything behind it each time', () => {
  const clock = new RunClock();
  clock.start();
  clock.add(sample(8, 1, 2), true);
  clock.add(sample(8, 0.5, 4), false);
  clock.add(sample(16, undefined, 0), true);
  clock.end();
  const seconds = clock.seconds(3);
  expect(seconds).toMatchObject({ loading: 3, model: 31.5 });
});

it('runs from the first sample on, and tells nothing where there was none', async () => {
  const clock = new RunClock();
  clock.end();
  expect(clock.seconds(0)).toBeUndefined();
  clock.start();
  await new Promise((resolve) => setTimeout(resolve, 20));
  clock.start();
  clock.end();
  expect(clock.seconds(0)?.total).toBeGreaterThan(0.015);
});
