import { expect, it } from 'vitest';
import { pathError } from './output-paths.js';

it('says what to do where the disk is full, though the system names no file', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' });
  expect(pathError(full)).toMatchObject({ code: 'file_unreadable', message: /no space is left on the disk/, cause: full });
  const other = new Error('something else');
  expect(pathError(other)).toBe(other);
});
