import { afterEach, expect, it, vi } from 'vitest';
import { Progress } from './progress.js';

const before = { isTTY: process.stderr.isTTY, columns: process.stderr.columns };
afterEach(() => {
  Object.assign(process.stderr, before);
  vi.restoreAllMocks();
});

it('prints lines where the terminal has no size: a spinner would clear an infinity of lines', () => {
  Object.assign(process.stderr, { isTTY: true, columns: 0 });
  const lines = vi.spyOn(console, 'error').mockReturnValue();
  const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  using progress = new Progress();
  progress.step('loading demo');
  progress.share(1, 2);
  progress.update('reading');
  expect(lines.mock.calls).toEqual([['loading demo']]);
  expect(written).not.toHaveBeenCalled();
});
