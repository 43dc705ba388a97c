import { spawnSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { temporaryFolders } from '../files/temporary-folder.test.fixture.js';
import { openWeights } from '../open.js';
import { writeSafetensors } from './write.js';

const folders = temporaryFolders();

const tensors = [{ name: 'a', dtype: 'F32', shape: [1000], data: Float32Array.from({ length: 1000 }, (_, i) => i) }] as const;

async function read(path: string): Promise<Float32Array> {
  const file = await openWeights(path);
  return file.readFloat32(file.tensor('a'));
}

describe('writeSafetensors', () => {
  /** What handles of files inherit from. */
  async function handles(): Promise<Pick<FileHandle, 'write' | 'sync'>> {
    const handle = await open(join(folders(), 'any'), 'w');
    await handle.close();
    return Object.getPrototypeOf(handle);
  }

  it('writes all of it where the system takes a part of what it is given, as at the end of a disk', async () => {
    const folder = folders();
    const path = join(folder, 'short.safetensors');
    const kind = await handles();
    const { write } = kind;
    const short = vi.spyOn(kind, 'write').mockImplementation(function (this: FileHandle, bytes: unknown) {
      return write.call(this, (bytes as Buffer).subarray(0, Math.ceil((bytes as Buffer).length / 2)) as never);
    });
    await writeSafetensors(path, tensors).finally(() => short.mockRestore());
    expect(await read(path)).toEqual(tensors[0].data);
  });

  it('writes through a link', async () => {
    const folder = folders();
    const path = join(folder, 'real.safetensors');
    const link = join(folder, 'link.safetensors');
    writeFileSync(path, 'old');
    symlinkSync(path, link);
    await writeSafetensors(link, tensors);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(await read(path)).toEqual(tensors[0].data);
  });

  it('does not put a file in the place of what is none', async () => {
    const folder = folders();
    const pipe = join(folder, 'pipe');
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
    await expect(writeSafetensors(pipe, tensors)).rejects.toThrow(/pipe cannot be written: it is no regular file/);
    expect(lstatSync(pipe).isFIFO()).toBe(true);
    await expect(writeSafetensors(folder, tensors)).rejects.toThrow(/no regular file/);
  });

  it('says why, and leaves the old file and nothing else', async () => {
    const folder = folders();
    const missing = join(folder, 'no', 'such.safetensors');
    await expect(writeSafetensors(missing, tensors)).rejects.toMatchObject({ code: 'file_unreadable', message: /ENOENT/ });
    const path = join(folder, 'kept.safetensors');
    writeFileSync(path, 'old');
    const full = vi.spyOn(await handles(), 'sync').mockRejectedValue(new Error('ENOSPC: no space left on device'));
    await expect(writeSafetensors(path, tensors)).rejects.toThrow(/kept.safetensors cannot be written: ENOSPC/);
    full.mockRestore();
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
  });
});
