import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openWeights } from '@kvsift/weights';
import { describe, expect, it } from 'vitest';
import { type Content, fromFile } from './session-content.js';
import { type SessionProgress, writeContent } from './session-file.js';
import type { SessionOptions } from './session-options.js';
import { madeModel, madePrompt } from './testing/made-model.js';
import { registry } from './testing/policy-expressions.js';

const made = madeModel();
const { backend } = made;
const prompt = madePrompt(48);

/** What a test may change in a saved session. */
interface Saved {
  readonly progress: SessionProgress & { run: Record<string, number> };
  readonly content: Map<string, Content>;
  /** Changes a tensor's shape, cutting or repeating its numbers. */
  resize(name: string, shape: readonly number[]): void;
  /** Changes one number of a tensor. */
  put(name: string, at: number, value: number): void;
}

const optionsOf = (expression: string): SessionOptions => ({
  policy: registry.parse(expression),
  budget: 16,
  trackPositions: true,
});

/** Saves a session behind a prompt and two tokens, changes the file as a careful hand would, and restores it. */
async function restoreChanged(expression: string, change: (saved: Saved) => void): Promise<void> {
  const path = join(made.folder, 'session.safetensors');
  const options = optionsOf(expression);
  using session = made.model.session(options);
  await session.prefill(prompt);
  for (const id of [3, 8]) await session.force(id);
  await session.save(path);
  const file = await openWeights(path);
  const content = new Map<string, Content>();
  for (const [name, stored] of file.tensors) {
    const held = fromFile(stored.dtype, stored.shape, await file.readBytes(stored));
    if (held) content.set(name, held);
  }
  const of = (name: string) => content.get(name) ?? expect.fail(`${name} is not among ${[...content.keys()].join(', ')}`);
  const progress = JSON.parse(String(file.metadata.get('progress')));
  change({
    progress,
    content,
    resize(name, shape) {
      const { data, dtype } = of(name);
      const size = shape.reduce((product, length) => product * length, 1);
      content.set(name, { dtype, shape, data: Float32Array.from({ length: size }, (_, at) => data[at % data.length] ?? 0) });
    },
    put(name, at, value) {
      of(name).data[at] = value;
    },
  });
  const fact = (name: string) => String(file.metadata.get(name));
  const facts = { model: fact('model'), policy: fact('policy'), kvType: fact('kvType'), progress: JSON.stringify(progress) };
  await writeContent(path, facts, content);
  const before = backend.memory().bytes;
  try {
    (await made.model.restore(path, options)).dispose();
  } finally {
    expect(backend.memory().bytes).toBe(before);
  }
}

const scissorhands = 'decoding(scissorhands(recent=4), interval=3)';
const window = 'decoding(snapkv(window=4))';
const taylor = 'ratchet(streaming-llm, features=taylor)';
const narrow = 'think(knorm, ratio=0.5, recent=4)';
const pages = 'quest(pageSize=4, fullLayers=1)';
const paired = 'minicache(start=0, retained=0.2)';
const judged = 'threshold(knorm, threshold=-1.0, window=6)';
const file = 'session.safetensors: ';

describe('a saved session that was changed', () => {
  it.each([scissorhands, window, taylor, narrow, pages, judged, paired, 'rerotate(pyramidkv(snapkv(window=4)))'])(
    '%s is restored where nothing was',
    (expression) => restoreChanged(expression, () => {}),
  );

  it.each<[string, string, (saved: Saved) => void]>([
    [
      'tokens seen',
      'layers.0.positions holds \\d+ behind -?\\d+, expected ascending positions below 20',
      ({ progress }) => Object.assign(progress, { seen: 20 }),
    ],
    ['the next position', 'nextPosition is 12, expected 50', ({ progress }) => Object.assign(progress, { nextPosition: 12 })],
    ['the rope table', 'ropeLength is 9999', ({ progress }) => Object.assign(progress, { ropeLength: 9999 })],
    ['the prompt', 'promptLength is 257, expected 1 to 256', ({ progress }) => Object.assign(progress, { promptLength: 257 })],
    ['a fraction', 'progress: expected', ({ progress }) => Object.assign(progress, { generated: 1.5 })],
    ['an unknown fact', 'progress: expected', ({ progress }) => Object.assign(progress, { extra: 1 })],
    ['an id', 'unfed is \\[61\\], expected ids below 61', ({ progress }) => Object.assign(progress, { unfed: [61] })],
    ['no state', 'run.policy.scores.0 is unknown', ({ progress }) => Object.assign(progress, { run: null })],
    ['keys', 'layers.1.keys holds no number at 3', ({ put }) => put('layers.1.keys', 3, Number.NaN)],
    ['values', 'layers.1.values holds no number at 4', ({ put }) => put('layers.1.values', 4, Number.POSITIVE_INFINITY)],
    ['logits', 'logits holds no number at 5', ({ put }) => put('logits', 5, Number.NaN)],
    ['a vocabulary', 'logits are f32 \\[60\\], expected f32 \\[61\\]', ({ resize }) => resize('logits', [60])],
    ['a layer', 'layers.2.keys is missing', ({ content }) => content.delete('layers.2.keys')],
    [
      'a fourth layer',
      'layers.3.keys is unknown',
      ({ content, resize }) => {
        content.set('layers.3.keys', content.get('layers.2.keys') ?? expect.fail());
        resize('layers.3.keys', [2, 8]);
      },
    ],
    ['lengths', 'layers.0.lengths holds -1', ({ put }) => put('layers.0.lengths', 0, -1)],
    ['lengths that promise more', 'layers.0.lengths holds 51, expected 0 to 50', ({ put }) => put('layers.0.lengths', 0, 51)],
    ['the order of positions', 'layers.0.positions holds 0 behind', ({ put }) => put('layers.0.positions', 1, 0)],
    ['positions of the future', 'layers.0.positions holds 77', ({ put }) => put('layers.0.positions', 17, 77)],
  ])('is refused: %s', async (_what, message, change) => {
    const refused = restoreChanged(scissorhands, change);
    await expect(refused).rejects.toMatchObject({
      code: 'file_malformed',
      message: expect.stringMatching(`${file}(${message})`),
    });
  });

  it.each<[string, string, (saved: Saved) => void]>([
    [
      scissorhands,
      'run.policy.scores.1 is f32 \\[2, 9\\], expected f32 \\[2, 18\\]',
      ({ resize }) => resize('run.policy.scores.1', [2, 9]),
    ],
    [scissorhands, 'run.policy.scores.1 is missing', ({ content }) => content.delete('run.policy.scores.1')],
    [scissorhands, 'run.policy.scores.1 holds no number', ({ put }) => put('run.policy.scores.1', 0, Number.NaN)],
    [
      scissorhands,
      'run.policy.steps.1 is 3, expected a whole number, 0 to 2',
      ({ progress }) => Object.assign(progress.run, { 'policy.steps.1': 3 }),
    ],
    [scissorhands, 'run.policy.steps.1 is missing', ({ progress }) => Reflect.deleteProperty(progress.run, 'policy.steps.1')],
    [scissorhands, 'run.policy.steps.7 is no layer', ({ progress }) => Object.assign(progress.run, { 'policy.steps.7': 1 })],
    [scissorhands, 'run.other.1 is unknown', ({ progress }) => Object.assign(progress.run, { 'other.1': 1 })],
    [
      window,
      'run.window.queries.0 is f32 \\[5, 32\\], expected f32 \\[1 to 4, 32\\]',
      ({ resize }) => resize('run.window.queries.0', [5, 32]),
    ],
    [window, 'run.window.queries.0 is f32 \\[4, 8\\]', ({ resize }) => resize('run.window.queries.0', [4, 8])],
    [
      window,
      'run.window.keys.0 is unknown',
      ({ content }) => content.set('run.window.keys.0', content.get('logits') ?? expect.fail()),
    ],
    [
      taylor,
      'run.policy.states.2 is f32 \\[2, 17, 9\\], expected f32 \\[2, 45, 9\\]',
      ({ resize }) => resize('run.policy.states.2', [2, 17, 9]),
    ],
    [taylor, 'run.policy.states.0 is missing', ({ content }) => content.delete('run.policy.states.0')],
    [
      narrow,
      'run.policy.indices.1 holds 8 at 7, expected ascending numbers up to 7',
      ({ put }) => put('run.policy.indices.1', 7, 8),
    ],
    [
      narrow,
      'run.policy.indices.1 holds 0 at 1',
      ({ put }) => {
        put('run.policy.indices.1', 0, 0);
        put('run.policy.indices.1', 1, 0);
      },
    ],
    [narrow, 'run.policy.offsets.1 holds 5 at 1, expected multiples of 4', ({ put }) => put('run.policy.offsets.1', 1, 5)],
    [
      narrow,
      'run.policy.keys.1 is f32 \\[24, 8\\], expected f32 \\[24, 4\\]',
      ({ resize }) => resize('run.policy.keys.1', [24, 8]),
    ],
    [narrow, 'run.policy.values.1 is missing', ({ content }) => content.delete('run.policy.values.1')],
    [narrow, 'run.policy.positions.0 holds 50', ({ put }) => put('run.policy.positions.0', 11, 50)],
    [narrow, 'run.policy.facts.perHead.1 is 8', ({ progress }) => Object.assign(progress.run, { 'policy.facts.perHead.1': 8 })],
    [narrow, 'run.policy.facts.scale.1 is -1', ({ progress }) => Object.assign(progress.run, { 'policy.facts.scale.1': -1 })],
    [
      pages,
      'run.policy.covered.1 is 99, expected a whole number, 0 to 50',
      ({ progress }) => Object.assign(progress.run, { 'policy.covered.1': 99 }),
    ],
    [
      pages,
      'run.policy.low.1 is f32 \\[2, 5, 8\\], expected f32 \\[2, 12 or more, 8\\]',
      ({ resize }) => resize('run.policy.low.1', [2, 5, 8]),
    ],
    [pages, 'run.policy.high.2 is missing', ({ content }) => content.delete('run.policy.high.2')],
    [paired, 'run.policy.keySizes.0 is missing', ({ content }) => content.delete('run.policy.keySizes.0')],
    [
      paired,
      'run.policy.valueSizes.1 is f32 \\[2, 3\\], expected f32 \\[2, 38\\]',
      ({ resize }) => resize('run.policy.valueSizes.1', [2, 3]),
    ],
    [paired, 'run.policy.values.1 is f32', ({ resize }) => resize('run.policy.values.1', [2, 8])],
    [paired, 'run.policy.positions.1 holds 50', ({ put }) => put('run.policy.positions.1', 37, 50)],
    [paired, 'run.policy.facts.scale is -1', ({ progress }) => Object.assign(progress.run, { 'policy.facts.scale': -1 })],
    [
      paired,
      'run.policy.keys.2 is unknown',
      ({ content }) => content.set('run.policy.keys.2', content.get('logits') ?? expect.fail()),
    ],
    [
      judged,
      'run.policy.scores.1 is f32 \\[2, 51\\], expected f32 \\[2, 1 to 50\\]',
      ({ resize }) => resize('run.policy.scores.1', [2, 51]),
    ],
    [judged, 'run.policy.scores.0 is missing', ({ content }) => content.delete('run.policy.scores.0')],
    [
      judged,
      'run.policy.seen.2 is 49, expected a whole number, 50',
      ({ progress }) => Object.assign(progress.run, { 'policy.seen.2': 49 }),
    ],
    [judged, 'run.policy.seen.2 is missing', ({ progress }) => Reflect.deleteProperty(progress.run, 'policy.seen.2')],
    [
      'rerotate(streaming-llm)',
      'nextPosition is 50, expected 18',
      ({ progress }) => Object.assign(progress, { nextPosition: 50 }),
    ],
    ['knorm', 'run is {}, expected nothing that the policy', ({ progress }) => Object.assign(progress, { run: {} })],
    [
      'knorm',
      'run.policy.scores.1 is unknown',
      ({ content }) => content.set('run.policy.scores.1', content.get('logits') ?? expect.fail()),
    ],
  ])('is refused: state of %s: %s', async (expression, message, change) => {
    const refused = restoreChanged(expression, change);
    await expect(refused).rejects.toMatchObject({ code: 'file_malformed', message: expect.stringMatching(file + message) });
  });

  it('is refused by a layout that cannot hold it, with its name', async () => {
    const policy = registry.parse('adakv(snapkv(window=4))');
    using session = made.model.session({ policy, budget: 16 });
    await session.prefill(prompt);
    const path = join(made.folder, 'ragged.safetensors');
    await session.save(path);
    await expect(made.model.restore(path, { policy, budget: 16, layout: 'dense' })).rejects.toMatchObject({
      code: 'policy_violation',
      message: expect.stringMatching(/ragged.safetensors: layer 0: a dense cache cannot hold ragged heads/),
    });
  });

  it.each([
    [
      'f32',
      'keys',
      1,
      Number.POSITIVE_INFINITY,
      /layers.1.keys holds no finite number at 19, and a file of it could not be restored$/,
    ],
    ['f16', 'values', 2, Number.NaN, /layers.2.values holds no finite number at 19, .*; kvType bf16 and f32 take larger/],
  ] as const)('is not written at all where it could not be restored: %s %s', async (kvType, part, layer, value, message) => {
    const path = join(made.folder, 'infinite.safetensors');
    const options = { kvType };
    using session = made.model.session(options);
    await session.prefill(prompt);
    await session.save(path);
    const { view } = session.cache.layer(layer);
    const numbers = (await backend.kvRead(view, part).read()) as Float32Array;
    numbers[19] = value;
    backend.kvReplace(view, part, backend.upload(numbers, 'f32', [view.kvHeads, view.maxLength, view.headDim]));
    await expect(session.save(path)).rejects.toMatchObject({ code: 'unsupported', message: expect.stringMatching(message) });
    // What was there before is still there, and the session goes on.
    (await made.model.restore(path, options)).dispose();
    await session.force(3);
  });

  it('is refused where a byte has changed by accident', async () => {
    const path = join(made.folder, 'decayed.safetensors');
    const options = optionsOf('knorm');
    using session = made.model.session(options);
    await session.prefill(prompt);
    await session.save(path);
    const bytes = await readFile(path);
    bytes[bytes.length - 1000] = (bytes[bytes.length - 1000] ?? 0) ^ 1;
    await writeFile(path, bytes);
    await expect(made.model.restore(path, options)).rejects.toMatchObject({
      code: 'file_malformed',
      message: expect.stringContaining('decayed.safetensors: its contents are not those that were saved'),
    });
    await writeFile(path, bytes.subarray(0, bytes.length - 8));
    await expect(made.model.restore(path, options)).rejects.toMatchObject({ code: 'file_malformed' });
  });
});
