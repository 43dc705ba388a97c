import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import type { Backend } from '@kvsift/tensor';
import { afterAll, beforeAll } from 'vitest';
import type { LanguageModel } from '../language-model.js';
import { load } from '../load.js';
import { type RandomModel, smallModel, writeRandomModel } from './random-model.js';

/** A made-up model while the tests of a file run. */
export interface MadeModel {
  readonly backend: Backend;
  /** A folder that is gone afterwards. */
  readonly folder: string;
  readonly model: LanguageModel;
}

/** Makes a model before the tests of a file, and takes it away after them. */
export function madeModel(sizes: RandomModel = smallModel, backend = createReferenceBackend()): MadeModel {
  let made: Pick<MadeModel, 'folder' | 'model'> | undefined;
  const present = () => {
    if (made === undefined) throw new Error('made models exist while tests run');
    return made;
  };
  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kvsift-engine-'));
    made = { folder, model: await load(await writeRandomModel(join(folder, 'model'), sizes), { backend }) };
  });
  afterAll(async () => {
    made?.model.dispose();
    if (made) await rm(made.folder, { recursive: true });
  });
  return {
    backend,
    get folder() {
      return present().folder;
    },
    get model() {
      return present().model;
    },
  };
}

/** A prompt of made-up ids. */
export function madePrompt(length: number): Int32Array {
  return Int32Array.from({ length }, (_, index) => (index * 17 + 5) % 60);
}
