import { type Backend, KvsiftError } from '@kvsift/tensor';
import { badFiles } from './bad-files/bad-files.js';
import { findModel } from './find-model.js';
import { forward } from './forward/forward.js';
import { policies } from './policies/policies.js';
import type { Counts, VerifyOptions, VerifySuite } from './suite.js';
import { Tally } from './tally.js';

/** Suites by the name of the golden folder whose format they know. */
export const suites: Readonly<Record<string, VerifySuite>> = { 'bad-files': badFiles, forward, policies };

/**
 * Runs every case of a folder that has the format of `golden/<suite>`. A case that is not understood is a failure.
 * @throws KvsiftError `invalid_argument` for an unknown suite, `file_not_found` where the folder lacks what the suite begins with
 */
export async function verify(suite: string, folder: string, options: VerifyOptions): Promise<Counts> {
  const run = Object.hasOwn(suites, suite) ? suites[suite] : undefined;
  if (!run) {
    throw new KvsiftError('invalid_argument', `suite: expected one of ${Object.keys(suites).join(', ')}, found "${suite}"`, {
      suite,
    });
  }
  const tally = new Tally(options.onFailure, options.onSkip, options.onPass);
  let backend: Promise<Backend> | undefined;
  try {
    await run({
      folder,
      tally,
      model: (name) => findModel(name, options.models ?? [], folder),
      backend: async () => {
        backend ??= options.backend?.();
        return backend;
      },
    });
  } finally {
    await (await backend)?.dispose();
  }
  return tally.counts;
}
