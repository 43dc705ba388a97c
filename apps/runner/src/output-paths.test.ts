import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { checkFolder, pathError } from './output-paths.js';

it('says what to do where the disk is full, though the system names no file', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' });
  expect(pathError(full)).toMatchObject({ code: 'file_unreadable', message: /no space is left on the disk/, cause: full });
  const other = new Error('something else');
  expect(pathError(other)).toBe(other);
});

it('finds out whether a folder can be made, and leaves nothing behind', async () => {
  const home = await mkdtemp(join(tmpdir(), 'kvsift-out-'));
  await writeFile(join(home, 'file'), '');
  await checkFolder(join(home, 'a/b'));
  expect(await readdir(home)).toEqual(['file']);
  await expect(checkFolder(join(home, 'file/a'))).rejects.toMatchObject({ code: 'file_unreadable' });
  await rm(home, { recursive: true });
  if (process.platform !== 'linux') return;
  await expect(checkFolder('/proc/none')).rejects.toMatchObject({
    ...{ code: 'file_unreadable', message: expect.stringMatching(/^\/proc\/none cannot be written: (ENOENT|EACCES)/) },
  });
});
