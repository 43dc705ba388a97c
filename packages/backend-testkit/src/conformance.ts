import { createReferenceBackend } from '@kvsift/backend-reference';
import type { Backend } from '@kvsift/tensor';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { type Bench, type Case, defaultTolerance, type Op, type Tolerance } from './case.js';
import { algebraCases } from './cases/algebra.js';
import { argumentCases } from './cases/arguments.js';
import { attentionCases } from './cases/attention.js';
import { cacheCases } from './cases/cache.js';
import { formulaCases } from './cases/formula.js';
import { memoryCases } from './cases/memory.js';
import { modelCases } from './cases/model.js';
import { productCases } from './cases/products.js';
import { scoreCases } from './cases/scores.js';
import { streamCases } from './cases/stream.js';
import { weightCases } from './cases/weight.js';

/** What is expected of a backend less, or more, strictly than of others. */
export interface ConformanceOptions {
  /** Wider or narrower than `defaultTolerance` of what the backend computes with. */
  readonly tolerance?: Partial<Tolerance>;
  /** Ops that the backend does not have, and why; the reason is in the test report. What is not listed must work. */
  readonly skip?: Readonly<Partial<Record<Op, string>>>;
}

/** Every check of the suite, in the order of the contract. Each runs on its own, also outside of a test runner. */
export function conformanceCases(): Case[] {
  return [
    ...memoryCases(),
    ...weightCases(),
    ...modelCases(),
    ...cacheCases(),
    ...attentionCases(),
    ...scoreCases(),
    ...algebraCases(),
    ...formulaCases(),
    ...productCases(),
    ...argumentCases(),
    ...streamCases(),
  ];
}

/**
 * Registers vitest tests that hold a backend to the contract and to the numbers of the reference, one `describe` per op. Must be called where
 * `describe` may be.
 * @param makeBackend called once for the suite, and again for checks that dispose a backend
 */
export function backendConformance(
  name: string,
  makeBackend: () => Backend | Promise<Backend>,
  { tolerance = {}, skip = {} }: ConformanceOptions = {},
): void {
  const cases = conformanceCases();
  describe(`${name}: backend conformance`, () => {
    let bench: Bench | undefined;

    beforeAll(async () => {
      const actual = await makeBackend();
      bench = {
        reference: createReferenceBackend(),
        actual,
        tolerance: { ...defaultTolerance(actual.info.compute), ...tolerance },
        another: async () => makeBackend(),
      };
    });

    afterAll(async () => {
      await bench?.actual.dispose();
      await bench?.reference.dispose();
    });

    for (const op of new Set(cases.map((one) => one.op))) {
      const reason = skip[op];
      describe(reason === undefined ? op : `${op} (skipped: ${reason})`, () => {
        for (const { title, run } of cases.filter((one) => one.op === op)) {
          it.skipIf(reason !== undefined)(title, async () => {
            if (bench === undefined) throw new Error('the backend could not be made');
            await run(bench);
          });
        }
      });
    }
  });
}
