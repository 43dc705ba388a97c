import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';
import type { Budget, EvictionPolicy } from '@kvsift/policy';
import { type Backend, scoped } from '@kvsift/tensor';
import { DecodedSequence, decoded, firstOf } from './decoded.js';
import { contextOf } from './evict.js';
import { randomInputs } from './random-inputs.js';

const setting = { budget: { kind: 'tokens', tokens: 32 } as Budget, layers: 4, layer: 1 };
const prompt = 64;
const steps = 9;

/** What every decode rule keeps to; policies without one pass. */
export function decodeChecks(
  make: () => EvictionPolicy,
  check: (name: string, body: (backend: Backend) => Promise<void>) => void,
): void {
  const run = (backend: Backend, policy = make(), sequence = 0) =>
    decoded(backend, policy, 7 + sequence, { ...setting, prompt, steps, seed: sequence, sequence });

  check('keeps, while decoding, ascending slots of what is there', async (backend) => {
    const result = await run(backend);
    for (const { kept, length } of result?.steps ?? []) {
      strictEqual(new Set(kept.map((slots) => slots.length)).size, 1, 'a step leaves other numbers of entries in other heads');
      for (const slots of kept) {
        ok(slots.length > 0, 'a step leaves nothing');
        slots.forEach((slot, at) => {
          ok(Number.isInteger(slot) && slot >= 0 && slot < length, `slot ${slot} of ${length}`);
          ok(at === 0 || slot > (slots[at - 1] ?? 0), 'slots are not strictly ascending');
        });
      }
    }
  });
  check('repeats its steps where it says so', async (backend) => {
    const result = await run(backend);
    if (result?.rule.repeats !== true) return;
    const [first, ...others] = result.steps;
    for (const { kept, ops, waits, length } of result.steps) {
      ok(!waits, 'a step that is recorded waits');
      strictEqual(kept[0]?.length, result.before, 'a step does not evict what it appends');
      strictEqual(length, result.before + 1);
      deepStrictEqual(ops, first?.ops, 'steps over equally many entries enqueue other ops');
    }
    ok(others.length > 0);
  });
  check('decodes alike whatever came before', async (backend) => {
    const policy = make();
    const first = await run(backend, policy);
    await run(backend, policy, 1);
    const keptOf = (result: typeof first) => result?.steps.map(({ kept }) => kept);
    deepStrictEqual(keptOf(await run(backend, policy)), keptOf(first));
    deepStrictEqual(keptOf(await run(backend)), keptOf(first));
  });
  check('keeps sequences apart that are decoded at the same time', async (backend) => {
    const policy = make();
    using scope = scoped(backend);
    const begun = [0, 1].map((sequence) => {
      const tokens = randomInputs(7 + sequence, { length: prompt + steps });
      const options = { ...setting, seed: sequence, sequence };
      return { tokens, options, run: policy.begin(contextOf(firstOf(tokens, prompt), options)) };
    });
    try {
      const sequences: DecodedSequence[] = [];
      for (const { run, tokens, options } of begun) {
        const sequence = await DecodedSequence.begin(scope, run, tokens, prompt, options);
        if (sequence === undefined) return;
        sequences.push(sequence);
      }
      const alone = [await run(backend, make(), 0), await run(backend, make(), 1)];
      for (let step = 0; step < steps; step++) {
        for (const [index, sequence] of sequences.entries()) {
          deepStrictEqual((await sequence.step()).kept, alone[index]?.steps[step]?.kept, 'another sequence had a say');
        }
      }
    } finally {
      for (const { run } of begun) run.dispose();
    }
  });
}
