import type { Backend, Tensor } from '@kvsift/tensor';
import { demand, identical, outcome, refuses, rejects } from '../agree.js';
import type { Bench, Case } from '../case.js';
import { floatTensor, hostData, integerTensor } from '../inputs.js';
import { makeView } from '../views.js';

/** A little of everything that runs on several threads. */
function medley(backend: Backend) {
  const x = floatTensor(backend, 1, [37, 256], 'outliers');
  const weight = backend.upload(hostData(2, 'q4_k', [67, 256]), 'q4_k', [67, 256]);
  const view = makeView(backend, { layout: 'flattened', dtype: 'f16', headDim: 64, lengths: [301, 301] });
  const q = floatTensor(backend, 3, [29, 6 * 64]);
  const columns = backend.attentionColumns(q, view, 'sum', { queryHeads: 6, scale: 0.125, mask: 'causal' });
  const { indices } = backend.top(backend.slice(columns, 0, 0, 2), { keep: 100 });
  return {
    linear: backend.linear(x, weight),
    attention: backend.attention(q, [{ view, rows: 29 }], { queryHeads: 6, scale: 0.125 }).output,
    columns,
    indices,
    sums: backend.reduce(x, 0, 'sum'),
    product: backend.matmul(x, x, { transposeB: true }),
    softmax: backend.softmax(x),
  };
}

async function determinism({ actual }: Bench): Promise<void> {
  const first = await outcome(actual, medley);
  for (let again = 0; again < 3; again++) {
    const next = await outcome(actual, medley);
    for (const name of Object.keys(first)) identical(name, next[name], first[name]);
  }
}

/** 50 ops that each need the one before, and handles that go while the ops wait. */
async function order({ actual }: Bench): Promise<void> {
  let x = actual.upload(new Float32Array(1000).fill(1), 'f32', [1000]);
  for (let step = 0; step < 50; step++) {
    using before = x;
    using doubled = actual.zip(before, 2, 'mul');
    x = actual.zip(doubled, 1, 'sub');
  }
  using last = x;
  const reads = await Promise.all([last.read(), last.read()]);
  demand(
    reads.every((data) => data.length === 1000 && data.every((value) => value === 1)),
    'ops run in the order of the calls, on memory that lives until they have run',
  );
}

async function failure({ actual }: Bench): Promise<void> {
  using table = floatTensor(actual, 1, [3, 4]);
  using ids = integerTensor(actual, [9]);
  using failed = actual.embedding(table, ids);
  using dependent = actual.map(failed, 'exp');
  using fine = actual.map(table, 'exp');
  await rejects('what reads a failed tensor', dependent.read(), ['invalid_argument'], 'embedding');
  demand((await fine.read()).length === 12, 'ops that do not depend on the failed one go on');
  await rejects('finish', actual.finish(), ['invalid_argument'], 'embedding');
  await actual.finish();
}

async function strangers({ actual, another }: Bench): Promise<void> {
  const other = await another();
  try {
    using own = floatTensor(actual, 1, [2, 2]);
    using foreign = floatTensor(other, 1, [2, 2]);
    refuses('a tensor of another backend', () => actual.zip(own, foreign, 'add'), 'invalid_argument');
    refuses('a tensor of another backend', () => actual.map(foreign, 'exp'), 'invalid_argument');
  } finally {
    await other.dispose();
  }
}

/** A decode step that is recorded once and run on new inputs, while its cache grows. */
async function replays({ actual }: Bench): Promise<void> {
  if (actual.record === undefined) throw new Error('record is missing: say so in the skip list');
  const steps = (backend: Backend, recorded: boolean) => {
    const view = makeView(backend, { layout: 'flattened', dtype: 'f32', headDim: 4, lengths: [2, 3], room: 6 });
    const open = { ...view, maxLength: 9, uniform: false };
    const x = backend.empty('f32', [1, 8]);
    const at = backend.empty('i32', [1]);
    const step = () => {
      using doubled = backend.zip(x, 2, 'mul');
      backend.kvAppend([{ view: open, rows: 1 }], doubled, x, at);
      using attended = backend.attention(x, [{ view: open, rows: 1 }], { queryHeads: 2, scale: 0.5 }).output;
      return backend.zip(attended, doubled, 'add');
    };
    const made = { out: x };
    const program = recorded
      ? backend.record?.(() => {
          made.out = step();
        })
      : undefined;
    const outputs = [0, 1, 2, 3].map((index) => {
      backend.write(x, floatData(index));
      backend.write(at, Int32Array.of(index));
      if (program === undefined) return step();
      program.run();
      return backend.map(made.out, 'abs');
    });
    const sizes = outputs.map((out) => (program === undefined ? backend.map(out, 'abs') : out));
    const rest = { lengths: backend.slice(view.lengths, 0, 0, 2), keys: backend.slice(view.keys, 0, 0, view.keys.shape[0] ?? 0) };
    const result = { a: sizes[0] ?? x, b: sizes[1] ?? x, c: sizes[2] ?? x, d: sizes[3] ?? x, ...rest };
    program?.dispose();
    if (program) refuses('run of a disposed program', () => program.run(), 'disposed');
    return result;
  };
  const [plain, again] = [
    await outcome(actual, (backend) => steps(backend, false)),
    await outcome(actual, (backend) => steps(backend, true)),
  ];
  for (const name of Object.keys(plain)) identical(`${name} of a program`, again[name], plain[name]);
}

/** A program that works in memory of its own, pieces of several sizes one after the other, and draws: run after run it gives what the ops give. */
async function workingMemory({ actual }: Bench): Promise<void> {
  if (actual.record === undefined) throw new Error('record is missing: say so in the skip list');
  // More than 4 MiB: devices treat that otherwise than small pieces.
  const length = 2 ** 20 + 4;
  const rules = [0.25, 0.75].map((uniform) => ({ temperature: 0.9, topK: 30, topP: 0.9, minP: 0, uniform }));
  const steps = (backend: Backend, recorded: boolean) => {
    const large = backend.upload(
      Float32Array.from({ length }, (_, index) => index % 8191),
      'f32',
      [length],
    );
    const logits = floatTensor(backend, 2, [2, 97]);
    const at = backend.empty('f32', [8]);
    const step = () => {
      using copy = backend.slice(large, 0, 0, length);
      using end = backend.slice(copy, 0, length - 8, length);
      using moved = backend.zip(end, at, 'add');
      using softer = backend.map(moved, 'sqrt');
      using weights = backend.softmax(softer);
      const { ids, logProbs } = backend.sample(logits, rules);
      return { ids, logProbs, weights: backend.zip(weights, 2, 'mul') };
    };
    const made: { results?: ReturnType<typeof step> } = {};
    const program = recorded
      ? backend.record?.(() => {
          made.results = step();
        })
      : undefined;
    const outputs: Record<string, Tensor> = {};
    for (const run of [0, 1, 2, 3]) {
      backend.write(at, floatData(run));
      program?.run();
      const { ids, logProbs, weights } = made.results ?? step();
      outputs[`ids ${run}`] = backend.toFloat(ids);
      outputs[`logProbs ${run}`] = backend.slice(logProbs, 0, 0, 2);
      outputs[`weights ${run}`] = backend.slice(weights, 0, 0, 8);
    }
    program?.dispose();
    return outputs;
  };
  const [plain, again] = [
    await outcome(actual, (backend) => steps(backend, false)),
    await outcome(actual, (backend) => steps(backend, true)),
  ];
  for (const name of Object.keys(plain)) identical(`${name} of a program`, again[name], plain[name]);
}

const floatData = (seed: number) => Float32Array.from({ length: 8 }, (_, index) => Math.sin(seed * 8 + index + 1));

/** finish, read, record: order, determinism, errors that surface where they belong. */
export function streamCases(): Case[] {
  return [
    { op: 'finish', title: 'equal calls give equal bits', run: determinism },
    { op: 'finish', title: 'ops run in submission order', run: order },
    { op: 'finish', title: 'an error surfaces in finish once and in every tensor that depends on it', run: failure },
    { op: 'upload', title: 'tensors of another backend are refused', run: strangers },
    { op: 'record', title: 'a program gives what the ops give, on new inputs', run: replays },
    { op: 'record', title: 'a program works in memory of its own, of any size, and draws', run: workingMemory },
  ];
}
