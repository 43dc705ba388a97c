import { type Backend, type ErrorCode, isKvsiftError, scoped, type Tensor } from '@kvsift/tensor';
import type { Bench } from './case.js';
import { type Closeness, compare, type Numbers } from './compare.js';

/** Computes something on a backend and returns what is to be compared. Everything made on the way is released. */
export type Build = (backend: Backend) => Readonly<Record<string, Tensor>> | Promise<Readonly<Record<string, Tensor>>>;

/** Results of a computation. @throws Error where its memory does not go back to what it was */
export async function outcome(backend: Backend, build: Build): Promise<Record<string, Numbers>> {
  await backend.finish();
  const before = backend.memory().bytes;
  const scope = scoped(backend);
  const results: Record<string, Numbers> = {};
  try {
    for (const [name, tensor] of Object.entries(await build(scope.backend))) {
      const { dtype, shape } = tensor;
      results[name] = { dtype, shape, data: await tensor.read() };
    }
  } finally {
    scope[Symbol.dispose]();
  }
  await backend.finish();
  const left = backend.memory().bytes - before;
  if (left !== 0) throw new Error(`${left} bytes are still in use after everything was disposed`);
  return results;
}

/** Both backends give the same. `closeness` for all results, or for each by name. */
export async function agree(
  bench: Bench,
  build: Build,
  closeness: Closeness | Readonly<Record<string, Closeness>> = 'exact',
): Promise<void> {
  const expected = await outcome(bench.reference, build);
  const actual = await outcome(bench.actual, build);
  for (const [name, numbers] of Object.entries(expected)) {
    const found = actual[name];
    if (found === undefined) throw new Error(`${name} is missing`);
    compare(name, found, numbers, closenessOf(closeness, name));
  }
}

function closenessOf(closeness: Closeness | Readonly<Record<string, Closeness>>, name: string): Closeness {
  if (closeness === 'exact') return closeness;
  const own = (closeness as Readonly<Record<string, Closeness>>)[name];
  return own !== undefined && typeof own !== 'number' ? own : (closeness as Closeness);
}

/** Bits of two results of one backend are equal. */
export function identical(name: string, a: Numbers | undefined, b: Numbers | undefined): void {
  if (a === undefined || b === undefined) throw new Error(`${name} is missing`);
  const [x, y] = [a, b].map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  if (x === undefined || y === undefined || !x.equals(y)) throw new Error(`${name}: the bits differ`);
}

function demandCode(what: string, error: unknown, codes: readonly ErrorCode[], op?: string): void {
  if (!isKvsiftError(error)) throw new Error(`${what}: expected a KvsiftError, got ${String(error)}`);
  if (!codes.includes(error.code))
    throw new Error(`${what}: the code is ${error.code}, not ${codes.join(' or ')}: ${error.message}`);
  if (op !== undefined && error.details.op !== op)
    throw new Error(`${what}: details.op is ${String(error.details.op)}, not ${op}`);
}

/** The call throws at once with one of these codes. */
export function refuses(what: string, act: () => unknown, ...codes: readonly ErrorCode[]): void {
  try {
    act();
  } catch (error) {
    demandCode(what, error, codes);
    return;
  }
  throw new Error(`${what}: was accepted, expected ${codes.join(' or ')}`);
}

/** The promise rejects with one of these codes, of this op where one is given. */
export async function rejects(what: string, promise: Promise<unknown>, codes: readonly ErrorCode[], op?: string): Promise<void> {
  let error: unknown;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  if (error === undefined) throw new Error(`${what}: resolved, expected ${codes.join(' or ')}`);
  demandCode(what, error, codes, op);
}

/** The op is accepted, and fails the stream when it runs; what it makes cannot be read. */
export async function failsStream(backend: Backend, op: string, act: (backend: Backend) => Tensor | undefined): Promise<void> {
  const scope = scoped(backend);
  try {
    const result = act(scope.backend);
    if (result) await rejects(`read after ${op}`, result.read(), ['invalid_argument'], op);
    await rejects(`finish after ${op}`, backend.finish(), ['invalid_argument'], op);
    await backend.finish();
  } finally {
    scope[Symbol.dispose]();
  }
}

/** @throws Error with this sentence where the condition does not hold */
export function demand(condition: boolean, sentence: string): asserts condition {
  if (!condition) throw new Error(sentence);
}
