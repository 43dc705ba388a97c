import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Pool } from './pool.js';

it('runs at most as many pieces as it may, and one at a time in order', async () => {
  for (const limit of [1, 3]) {
    const pool = new Pool(limit);
    const done: number[] = [];
    let running = 0;
    let most = 0;
    for (let piece = 0; piece < 8; piece++) {
      await pool.add(async () => {
        running += 1;
        most = Math.max(most, running);
        await setTimeout(8 - piece);
        running -= 1;
        done.push(piece);
      });
    }
    await pool.drain();
    expect(most).toBe(limit);
    if (limit === 1) expect(done).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    else expect([...done].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  }
});

it('starts nothing after a failure, and lets what runs come to its end', async () => {
  const pool = new Pool(2);
  const done: string[] = [];
  await pool.add(async () => {
    await setTimeout(10);
    done.push('slow');
  });
  await pool.add(() => Promise.reject(new Error('broken')));
  await setTimeout(1);
  await expect(pool.add(async () => void done.push('late'))).rejects.toThrow('broken');
  await expect(pool.drain()).rejects.toThrow('broken');
  expect(done).toEqual(['slow']);
});
