import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict';
import { type Budget, type EvictionPolicy, isScored, type PolicyDefinition, traitsOf } from '@kvsift/policy';
import { type Backend, isKvsiftError, scoped } from '@kvsift/tensor';
import { costOf } from './cost.js';
import { decodeChecks } from './decode-checks.js';
import { contextOf, type Evicted, evict, evictIn, scoresOf, sourceOf } from './evict.js';
import { inPasses } from './in-passes.js';
import type { LayerInputs } from './layer-inputs.js';
import { layerView } from './layer-inputs.js';
import { permuteHeads, randomInputs } from './random-inputs.js';

/** What the kit tests: a policy as its parameters make it. */
export interface Subject {
  readonly definition: Pick<PolicyDefinition, 'name' | 'budget' | 'seeded'>;
  /** A fresh policy with the parameters to test; windows and sinks small enough for prompts of 64 tokens. */
  readonly make: () => EvictionPolicy;
}

/** One invariant: `run` throws where it does not hold. */
export interface Check {
  readonly name: string;
  /** Runs the check. @throws Error that says what was expected and what the policy did */
  run(): Promise<void>;
}

const length = 64;
const half: Budget = { kind: 'tokens', tokens: 32 };
const observations = [
  'queries',
  'queriesBeforeRotation',
  'keysBeforeRotation',
  'hidden',
  'columnSums',
  'outputProjection',
] as const;
const share: Budget = { kind: 'share', numerator: 1, denominator: 5 };

/**
 * The invariants that every policy keeps (specification 0.11), as checks for any test runner:
 * `for (const { name, run } of conformance(subject, makeBackend)) it(name, run)`.
 */
export function conformance({ definition, make }: Subject, makeBackend: () => Backend): readonly Check[] {
  const exact = definition.budget !== 'own';
  const inputs = randomInputs(1, { length });
  const checks: Check[] = [];
  const check = (name: string, body: (backend: Backend) => Promise<void>) => {
    checks.push({
      name,
      async run() {
        const backend = makeBackend();
        try {
          await body(backend);
        } finally {
          await backend.dispose();
        }
      },
    });
  };
  const run = (backend: Backend, policy: EvictionPolicy, given = inputs, budget = half, extra = {}) =>
    evict(backend, policy, given, { budget, layers: 4, layer: 1, ...extra });

  check('keeps ascending slots inside the prompt, as many as the budget says', async (backend) => {
    const policy = make();
    for (const budget of [half, share, { kind: 'bytes', bytes: 4 * 2 * 24 * 64 } as const]) {
      validate(await run(backend, policy, inputs, budget), inputs, exact, policy.ragged);
    }
  });
  check('says what its runs do besides choosing survivors', async () => {
    const policy = make();
    using begun = policy.begin(contextOf(inputs, { budget: half, layers: 4 }));
    const silent = traitsOf(begun).filter((trait) => !policy.traits?.includes(trait));
    deepStrictEqual(silent, [], `traits of ${policy.name} lack what its runs do`);
  });
  check('keeps what it protects', async (backend) => {
    const policy = make();
    if (!isScored(policy)) return;
    const { first, last } = policy.scoring.protect;
    const { kept } = await run(backend, policy);
    for (const slots of kept) {
      for (let slot = 0; slot < first; slot++) ok(slots.includes(slot), `sink ${slot} was evicted`);
      for (let slot = length - last; slot < length; slot++) ok(slots.includes(slot), `recent slot ${slot} was evicted`);
    }
  });
  check('evicts no entry that scores above a kept one', async (backend) => {
    const policy = make();
    if (!isScored(policy)) return;
    const result = await run(backend, policy);
    const scores = await scoresOf(backend, policy, inputs, { budget: half, layers: 4, layer: 1 });
    result.kept.forEach((slots, head) => {
      dominates(slots, scores.subarray(head * length, (head + 1) * length), policy.scoring.protect);
    });
  });
  check('leaves a cache within the budget alone', async (backend) => {
    for (const budget of [
      { kind: 'tokens', tokens: length },
      { kind: 'share', numerator: 1, denominator: 1 },
    ] as const) {
      const { total } = await run(backend, make(), inputs, budget);
      if (exact) strictEqual(total, length * inputs.kvHeads);
    }
  });
  check('answers alike for the same sequence, whatever came before', async (backend) => {
    const policy = make();
    const first = await run(backend, policy);
    await run(backend, policy, randomInputs(2, { length: 80 }), { kind: 'tokens', tokens: 40 });
    deepStrictEqual((await run(backend, policy)).kept, first.kept);
    deepStrictEqual((await run(backend, make())).kept, first.kept);
    const other = randomInputs(3, { length });
    deepStrictEqual((await run(backend, policy, other)).kept, (await run(backend, make(), other)).kept);
  });
  check('keeps sequences apart that are read at the same time', async (backend) => {
    using scope = scoped(backend);
    const policy = make();
    const sequences = [72, 60, length].map((size, sequence) => {
      const given = randomInputs(4 + sequence, { length: size });
      const identity = { layers: 4, layer: 1, seed: sequence, sequence };
      return { given, identity, source: sourceOf(scope, given, identity) };
    });
    const runs = sequences.map(({ given, identity }) => policy.begin(contextOf(given, { budget: half, ...identity })));
    try {
      for (const [index, { given, identity, source }] of sequences.entries()) {
        const begun = runs[index];
        if (begun === undefined) continue;
        const alone = await run(backend, make(), given, half, identity);
        deepStrictEqual((await evictIn(begun, 1, source)).kept, alone.kept, 'another sequence had a say');
      }
    } finally {
      for (const begun of runs) begun.dispose();
    }
  });
  check('answers alike in passes of any size', async (backend) => {
    const { kvHeads, headDim } = inputs;
    const whole = await run(backend, make());
    const inSevens = await run(inPasses(backend, 7 * 4 * kvHeads * headDim), make());
    deepStrictEqual(inSevens.kept, whole.kept);
  });
  check(definition.seeded ? 'draws other entries for another seed' : 'does not depend on the seed', async (backend) => {
    const one = await run(backend, make(), inputs, half, { seed: 1 });
    const other = await run(backend, make(), inputs, half, { seed: 2 });
    strictEqual(JSON.stringify(one.kept) === JSON.stringify(other.kept), !definition.seeded);
  });
  check(definition.seeded ? 'draws other entries for another sequence' : 'does not depend on the sequence', async (backend) => {
    const one = await run(backend, make(), inputs, half, { sequence: 1 });
    const other = await run(backend, make(), inputs, half, { sequence: 2 });
    strictEqual(JSON.stringify(one.kept) === JSON.stringify(other.kept), !definition.seeded);
  });
  check('treats KV heads alike', async (backend) => {
    if (definition.seeded) return;
    const plain = await run(backend, make());
    const swapped = await run(backend, make(), permuteHeads(inputs, [1, 0]));
    deepStrictEqual(swapped.kept, [plain.kept[1], plain.kept[0]]);
  });
  check('takes prompts of any length with a share', async (backend) => {
    for (const size of [1, 2, 3, 5, 9, 17, 33]) {
      const short = randomInputs(size, { length: size });
      validate(await run(backend, make(), short, share), short, exact, make().ragged);
    }
  });
  check('keeps one entry or says that it cannot', async (backend) => {
    const one: Budget = { kind: 'tokens', tokens: 1 };
    try {
      validate(await run(backend, make(), inputs, one), inputs, exact, make().ragged);
    } catch (error) {
      ok(isKvsiftError(error) && error.code === 'budget_invalid', String(error));
    }
  });
  check('refuses bytes that do not pay for one entry', async (backend) => {
    if (!exact) return;
    await rejects(run(backend, make(), inputs, { kind: 'bytes', bytes: 8 }), { code: 'budget_invalid' });
  });
  check('survives keys and values that are not numbers', async (backend) => {
    const keys = inputs.keys.slice().fill(Number.NaN, 5 * inputs.headDim, 6 * inputs.headDim);
    const values = inputs.values.slice().fill(Number.POSITIVE_INFINITY, 9 * inputs.headDim, 10 * inputs.headDim);
    const broken = { ...inputs, keys, values };
    validate(await run(backend, make(), broken), broken, exact, make().ragged);
  });
  check('does not modify keys, values and what it observes', async (backend) => {
    using scope = scoped(backend);
    const policy = make();
    using started = policy.begin(contextOf(inputs, { budget: half, layers: 4 }));
    const budget = started.budgets[0];
    if (budget === undefined || budget.total >= length * inputs.kvHeads) return;
    const view = layerView(scope.backend, inputs, { budget, observe: started.observe, layers: 4 });
    const seen = () => Promise.all(observations.map((name) => view[name]?.read()));
    const before = await seen();
    await started.select({ ...view, keep: scope.keep });
    deepStrictEqual(await view.cache.keys.read(), inputs.keys);
    deepStrictEqual(await view.cache.values.read(), inputs.values);
    deepStrictEqual(await seen(), before);
  });
  check('needs memory linear in the prompt', async (backend) => {
    const [small, large] = [await costOf(backend, make(), 128), await costOf(backend, make(), 512)];
    // Four times the prompt: linear quadruples, a matrix of all pairs would take sixteen times as much.
    ok(large.extraBytes <= 7 * small.extraBytes + 4096, `${small.extraBytes} bytes at 128 tokens, ${large.extraBytes} at 512`);
  });
  decodeChecks(make, check);
  return checks;
}

function validate({ kept, perHeadBudget, total }: Evicted, inputs: LayerInputs, exact: boolean, ragged: boolean): void {
  strictEqual(kept.length, inputs.kvHeads);
  for (const slots of kept) {
    slots.forEach((slot, at) => {
      ok(Number.isInteger(slot) && slot >= 0 && slot < inputs.length, `slot ${slot} of ${inputs.length}`);
      ok(at === 0 || slot > (slots[at - 1] ?? 0), 'slots are not strictly ascending');
    });
  }
  strictEqual(
    kept.reduce((sum, slots) => sum + slots.length, 0),
    total,
    'the announced total is not what is kept',
  );
  if (!exact) return;
  const expected = Math.min(perHeadBudget, inputs.length);
  strictEqual(total, expected * inputs.kvHeads, 'the budget is not spent exactly');
  if (!ragged) for (const slots of kept) strictEqual(slots.length, expected);
}

function dominates(kept: readonly number[], scores: Float32Array, { first, last }: { first: number; last: number }): void {
  const open = (slot: number) => slot >= first && slot < scores.length - last;
  const present = new Set(kept);
  const worst = Math.min(...kept.filter(open).map((slot) => scores[slot] ?? 0));
  scores.forEach((score, slot) => {
    if (open(slot) && !present.has(slot)) ok(!(score > worst), `slot ${slot} scores ${score}, above the kept ${worst}`);
  });
}
