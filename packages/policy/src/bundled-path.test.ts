import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bundledPath } from './bundled-path.js';

describe('bundledPath', () => {
  const here = new URL('./', import.meta.url);

  it('finds what the package brings along by its name', () => {
    expect(bundledPath('bundled-path.test', here, '.ts')).toBe(fileURLToPath(import.meta.url));
  });

  it.each(['p.txt', 'table', 'folder/bundled-path', './bundled-path'])('takes %s for a path', (name) => {
    expect(bundledPath(name, here, '.ts')).toBe(name);
  });
});
