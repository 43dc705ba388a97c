import { type Backend, type DType, dtypes, type StoredTensor } from '@kvsift/tensor';
import { agree, demand, refuses, rejects } from '../agree.js';
import type { Bench, Case } from '../case.js';
import { compare } from '../compare.js';
import { floatTensor, hostData, numbers } from '../inputs.js';
import { withFile } from '../stored-file.js';
import { weightTypes } from './weight.js';

async function roundTrip({ actual }: Bench, dtype: DType): Promise<void> {
  for (const shape of [
    [3, 256],
    [1, 256],
    [0, 256],
  ]) {
    const data = hostData(41, dtype, shape);
    const copy = data.slice();
    using tensor = actual.upload(data, dtype, shape);
    data.fill(0);
    compare('what was uploaded', { dtype, shape, data: await tensor.read() }, { dtype, shape, data: copy }, 'exact');
  }
}

async function writes({ actual }: Bench): Promise<void> {
  using tensor = actual.upload(Float32Array.of(1, 2, 3), 'f32', [3]);
  const before = tensor.read();
  const data = Float32Array.of(4, 5, 6);
  actual.write(tensor, data);
  data.fill(0);
  using doubled = actual.zip(tensor, 2, 'mul');
  actual.write(tensor, Float32Array.of(7, 8, 9));
  const after = tensor.read();
  demand(String(await before) === '1,2,3', 'a read before a write gives what was there before it');
  demand(String(await doubled.read()) === '8,10,12', 'an op between two writes sees the first; data are copied at the call');
  demand(String(await after) === '7,8,9', 'a read after a write gives what was written');
}

async function copies({ actual }: Bench): Promise<void> {
  using ids = actual.upload(Int32Array.of(1, 2), 'i32', [2]);
  const from = actual.upload(Int32Array.of(3, 4), 'i32', [2]);
  actual.write(ids, from);
  actual.write(from, Int32Array.of(5, 6));
  from.dispose();
  demand(String(await ids.read()) === '3,4', 'what the tensor held when its turn came is copied');
  actual.write(ids, ids);
  demand(String(await ids.read()) === '3,4', 'a tensor over itself stays as it is');
}

async function reshaping({ actual }: Bench): Promise<void> {
  const x = actual.upload(numbers(1, 12), 'f32', [3, 4]);
  await actual.finish();
  const { bytes } = actual.memory();
  using flat = actual.reshape(x, [2, 6]);
  demand(actual.memory().bytes === bytes, 'reshape takes no memory');
  actual.write(x, new Float32Array(12).fill(5));
  x.dispose();
  demand(flat.alive && !x.alive, 'each handle has its own life');
  demand(
    (await flat.read()).every((value) => value === 5),
    'reshape shares the memory',
  );
}

async function accounting({ actual }: Bench): Promise<void> {
  await actual.finish();
  const before = actual.memory().bytes;
  actual.resetPeak();
  const x = actual.empty('f32', [256, 1024]);
  const twin = actual.reshape(x, [1024, 256]);
  const half = actual.empty('f16', [256, 1024]);
  await actual.finish();
  const held = actual.memory().bytes - before;
  // An allocator may round up, to 256 bytes at most.
  demand(held >= 1572864 && held <= 1572864 + 512, `1.5 MiB were made, ${held} bytes are counted`);
  x.dispose();
  x.dispose();
  half.dispose();
  await actual.finish();
  demand(actual.memory().bytes - before >= 1048576, 'memory lives as long as one handle does');
  twin.dispose();
  await actual.finish();
  demand(actual.memory().bytes === before, `after all was disposed ${actual.memory().bytes - before} bytes are left`);
  demand(actual.memory().peakBytes >= before + held, 'the peak counts what was held together');
  actual.resetPeak();
  await actual.finish();
  demand(actual.memory().peakBytes === before, 'resetPeak sets the peak to the bytes in use');
  await rejects('read of a disposed tensor', x.read(), ['disposed']);
}

async function marks({ actual }: Bench): Promise<void> {
  const clean = actual.finish();
  actual.resetPeak();
  const x = actual.empty('f32', [256, 1024]);
  const made = actual.finish();
  x.dispose();
  // Nothing is waited for in between: each mark tells of its own moment.
  const [first, second, third] = await Promise.all([clean, made, actual.finish()]);
  const { bytes } = first.memory;
  demand(second.memory.bytes - bytes >= 1048576, 'a mark counts what was made before it');
  demand(third.memory.bytes === bytes, 'a mark no longer counts what was released before it');
  demand(third.memory.peakBytes === second.memory.bytes, 'the peak since the last reset');
  demand(first.seconds <= second.seconds && second.seconds <= third.seconds, 'marks follow each other in time');
}

async function afterDispose({ another }: Bench): Promise<void> {
  const backend = await another();
  const x = floatTensor(backend, 1, [2, 2]);
  await backend.dispose();
  await backend.dispose();
  demand(!x.alive, 'tensors of a disposed backend are not alive');
  refuses('upload after dispose', () => backend.upload(new Float32Array(1), 'f32', [1]), 'disposed');
  refuses('an op after dispose', () => backend.map(x, 'exp'), 'disposed');
  refuses('uniform after dispose', () => backend.uniform({ seed: 0, sequence: 0, layer: 0, purpose: 0 }, 1, 1), 'disposed');
  await rejects('read after dispose', x.read(), ['disposed']);
  await rejects('finish after dispose', backend.finish(), ['disposed']);
  x.dispose();
}

const reversed = (rows: number) => Int32Array.from({ length: rows }, (_, row) => rows - 1 - row);
const bytesExact = { ofLargest: 1e-6 };

function loadCases(): Case[] {
  const matrix = async (backend: Backend, sources: readonly StoredTensor[]) => {
    const weight = await backend.load(sources, 'linear');
    const table = await backend.load(sources, 'embedding');
    const made = { linear: backend.dequantize(weight), embedding: backend.dequantize(table) };
    // Loading is not followed by scopes: a promise brings it.
    weight.dispose();
    table.dispose();
    return made;
  };
  return [
    ...weightTypes.map(
      (dtype): Case => ({
        op: 'load',
        title: `${dtype}, whole and with rows in another order`,
        run: (bench) =>
          withFile([[dtype, [6, 256]]], async ([stored]) => {
            if (stored === undefined) return;
            await agree(bench, (backend) => matrix(backend, [stored]), bytesExact);
            await agree(bench, (backend) => matrix(backend, [{ ...stored, rowOrder: Int32Array.of(5, 0, 2) }]), bytesExact);
          }),
      }),
    ),
    {
      op: 'load',
      title: 'stacks of several types',
      run: (bench) =>
        withFile(
          [
            ['q8_0', [5, 256]],
            ['f32', [2, 256]],
            ['q4_k', [3, 256]],
          ],
          (stored) =>
            agree(
              bench,
              (backend) =>
                matrix(
                  backend,
                  stored.map((part, index) => (index === 0 ? { ...part, rowOrder: reversed(5) } : part)),
                ),
              bytesExact,
            ),
        ),
    },
    {
      op: 'load',
      title: 'vectors become f32',
      run: (bench) =>
        withFile(
          [
            ['f16', [33]],
            ['bf16', [7]],
            ['f32', [1]],
          ],
          (stored) =>
            agree(bench, async (backend) => {
              const vector = await backend.load(stored, 'vector');
              using zero = backend.upload(new Float32Array(1), 'f32', [1]);
              const sum = backend.zip(vector, zero, 'add');
              vector.dispose();
              return { sum };
            }),
        ),
    },
    {
      op: 'load',
      title: 'a missing or short file is refused',
      run: ({ actual }) =>
        withFile([['f32', [4, 8]]], async ([stored]) => {
          if (stored === undefined) return;
          const missing = actual.load({ ...stored, path: `${stored.path}.missing` }, 'linear');
          await rejects('load of a missing file', missing, ['file_not_found', 'file_unreadable']);
          const short = actual.load({ ...stored, byteOffset: stored.byteOffset + 1 }, 'linear');
          await rejects('load beyond the end of a file', short, ['file_malformed']);
        }),
    },
  ];
}

/** upload, empty, write, writeRows, load, reshape, memory, resetPeak, dispose */
export function memoryCases(): Case[] {
  return [
    ...dtypes.map(
      (dtype): Case => ({ op: 'upload', title: `${dtype} comes back as it was`, run: (bench) => roundTrip(bench, dtype) }),
    ),
    {
      op: 'empty',
      title: 'shapes without elements, and scalars',
      run: async ({ actual }) => {
        for (const [shape, count] of [
          [[0], 0],
          [[3, 0, 2], 0],
          [[], 1],
        ] as const) {
          using tensor = actual.empty('i32', shape);
          demand((await tensor.read()).length === count, `i32 [${shape}] has ${count} elements`);
        }
      },
    },
    { op: 'write', title: 'takes effect in stream order', run: writes },
    { op: 'write', title: 'copies a tensor in stream order', run: copies },
    {
      op: 'writeRows',
      title: 'some, none, the last, of any element type',
      run: (bench) =>
        agree(bench, (backend) => {
          const results = (['f32', 'f16', 'i32', 'u8'] as const).map((dtype) => {
            const whole = backend.upload(hostData(43, dtype, [6, 2, 3]), dtype, [6, 2, 3]);
            backend.writeRows(whole, 1, backend.upload(hostData(44, dtype, [2, 2, 3]), dtype, [2, 2, 3]));
            backend.writeRows(whole, 6, backend.upload(hostData(45, dtype, [0, 2, 3]), dtype, [0, 2, 3]));
            backend.writeRows(whole, 5, backend.upload(hostData(46, dtype, [1, 2, 3]), dtype, [1, 2, 3]));
            return [dtype, whole] as const;
          });
          return Object.fromEntries(results);
        }),
    },
    { op: 'reshape', title: 'shares memory', run: reshaping },
    { op: 'finish', title: 'a mark tells of its moment in the stream', run: marks },
    { op: 'memory', title: 'counts exactly and goes back', run: accounting },
    { op: 'dispose', title: 'later calls are refused', run: afterDispose },
    ...loadCases(),
  ];
}
