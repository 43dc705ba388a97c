import { join } from 'node:path';
import { blockLayout, dtypes, type StoredTensor, type Tensor } from '@kvsift/tensor';
import { openWeights, readJsonFile } from '@kvsift/weights';
import { z } from 'zod';
import type { SuiteRun } from '../suite.js';
import type { Finding } from './compare.js';

const typesSchema = z.record(
  z.string(),
  z.looseObject({ rows: z.number(), columns: z.number(), values_per_block: z.number(), bytes_per_block: z.number() }),
);
/** Types whose values are one product or sum of exact numbers: no order of evaluation can differ. */
const exact: readonly string[] = ['F16', 'BF16', 'Q4_0', 'Q5_0', 'Q8_0', 'IQ4_NL'];
/** Of the largest value of a block, for the others. */
const relative = 2e-6;

/** Dequantises the bytes of every type, on the host and on the backend, and compares the values. */
export async function quantCases(run: SuiteRun, file: string): Promise<void> {
  const path = join(run.folder, file);
  const goldens = await openWeights(path);
  const types = typesSchema.parse(await readJsonFile(path.replace(/safetensors$/, 'json'), 'data_malformed'));
  const listed = new Set(Object.keys(types).flatMap((type) => [`${type}.bytes`, `${type}.values`]));
  for (const name of goldens.tensors.keys()) if (!listed.has(name)) run.tally.fail(`${file} ${name}`, 'not in the list of types');
  for (const [type, { rows, columns, values_per_block: values, bytes_per_block: bytes }] of Object.entries(types)) {
    const name = `${file} ${type}`;
    const dtype = dtypes.find((each) => each === type.toLowerCase());
    const layout = dtype && blockLayout(dtype);
    if (!dtype || layout?.values !== values || layout.bytes !== bytes) {
      run.tally.fail(name, `no dtype of kvsift with blocks of ${values} values in ${bytes} bytes`);
      continue;
    }
    const stored = { ...goldens.tensor(`${type}.bytes`), dtype, shape: [rows, columns] };
    const expected = await goldens.readFloat32(goldens.tensor(`${type}.values`));
    const compare = (actual: Float32Array) =>
      quantDifference(actual, expected, columns, exact.includes(type) ? 0 : relative, values);
    await run.tally.run(`${name} host`, async () => compare(await goldens.readFloat32(stored)));
    await onBackend(run, `${name} backend`, stored, compare);
  }
}

async function onBackend(run: SuiteRun, name: string, stored: StoredTensor, compare: (actual: Float32Array) => Finding) {
  const backend = await run.backend();
  if (!backend) return run.tally.skip(name, 'no backend');
  await run.tally.run(name, async () => {
    using weight = await backend.load(stored, 'linear');
    using values = backend.dequantize(weight);
    return compare(await floats(values));
  });
}

async function floats(tensor: Tensor): Promise<Float32Array> {
  const values = await tensor.read();
  return values instanceof Float32Array ? values : Float32Array.from(values);
}

/** Compares block by block: a difference counts against the largest value of its block. */
export function quantDifference(
  actual: Float32Array,
  expected: Float32Array,
  columns: number,
  tolerance: number,
  block: number,
): Finding {
  if (actual.length !== expected.length) return `${actual.length} values instead of ${expected.length}`;
  let worst: { at: number; excess: number } | undefined;
  for (let start = 0; start < expected.length; start += block) {
    let largest = 0;
    for (let at = start; at < start + block; at++) largest = Math.max(largest, Math.abs(expected[at] ?? 0));
    for (let at = start; at < start + block; at++) {
      const gap = Math.abs((actual[at] ?? Number.NaN) - (expected[at] ?? 0));
      const excess = Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap - tolerance * largest;
      if (excess > (worst?.excess ?? 0)) worst = { at, excess };
    }
  }
  if (!worst) return undefined;
  const { at } = worst;
  return `largest difference at [${Math.floor(at / columns)}, ${at % columns}]: ${actual[at]} instead of ${expected[at]}`;
}
