import type { DecoderModel } from '@kvsift/models';
import { type PolicyRun, type Segments, uniformLayer } from '@kvsift/policy';
import { KvsiftError, type Tensor } from '@kvsift/tensor';
import { type Branch, type PrefillOptions, prefill } from './prefill.js';

/** Reads a prompt as its policy wants it read: at once, or part by part. Returns the last hidden state, owned by the caller. */
export async function readPrompt(
  model: DecoderModel,
  { cache, ...reader }: Branch,
  ids: Int32Array,
  options: PrefillOptions,
): Promise<Tensor> {
  const { segments } = reader.run ?? {};
  if (reader.run === undefined || segments === undefined) return prefill(model, cache, ids, { ...options, ...reader });
  const { length, question } = segments;
  const { run, ...rest } = reader;
  const context = ids.subarray(0, ids.length - question);
  const asked = ids.subarray(context.length);
  const parts = Array.from({ length: Math.ceil(context.length / length) }, (_, part) =>
    joined(context.subarray(part * length, (part + 1) * length), asked),
  );
  const progress = wholeProgress([...parts, asked], options);
  for (const part of parts) {
    using _last = await prefill(model, cache, part, {
      ...options,
      ...rest,
      ...progress(part),
      run: partRun(model, run, segments),
      aside: question,
    });
    const layer = model.layers.findIndex((_, index) => cache.layer(index).view.maxLength > cache.seen);
    if (layer >= 0)
      throw new KvsiftError(
        'policy_violation',
        `layer ${layer}: the policy kept more than the ${cache.seen} tokens that it may keep`,
        { layer },
      );
  }
  return prefill(model, cache, asked, { ...options, ...rest, ...progress(asked) });
}

function joined(a: Int32Array, b: Int32Array): Int32Array {
  const both = new Int32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** The policy's run, asked to choose in every layer of every part. */
function partRun(model: DecoderModel, run: PolicyRun, segments: Segments): PolicyRun {
  const { layers, kvHeads } = model.config;
  const { observe, nextPosition } = run;
  return {
    observe,
    segments,
    ...(nextPosition && { nextPosition }),
    // Less than any cache holds.
    budgets: layers.map(() => uniformLayer(0, { kvHeads })),
    select: (view) => run.select({ ...view, budget: run.budgets[view.layer] ?? view.budget }),
    dispose() {},
    [Symbol.dispose]() {},
  };
}

/** Progress of one reading after the other, as if all were one. */
function wholeProgress(readings: readonly Int32Array[], { onProgress }: PrefillOptions) {
  const tokens = readings.reduce((sum, { length }) => sum + length, 0);
  let before = 0;
  return (reading: Int32Array): Pick<PrefillOptions, 'onProgress'> => {
    if (onProgress === undefined) return {};
    const start = before;
    before += reading.length;
    return { onProgress: (done, all) => onProgress(start * (all / reading.length) + done, tokens * (all / reading.length)) };
  };
}
