import { type Decision, definePolicy, gatherEntries, keptSlots, type LayerView, type PolicyRun, wrapping } from '@kvsift/policy';
import type { Tensor } from '@kvsift/tensor';

/** Key re-rotation (specification 4): survivors are renumbered 0, 1, 2 … and their keys rotated to the new positions. */
export const rerotate = definePolicy({
  name: 'rerotate',
  title: 'Key re-rotation',
  idea: 'After an eviction give the survivors of each layer consecutive positions and rotate their keys accordingly, so that distances never exceed the cache.',
  source: 'kvpress KeyRerotationPress; StreamingLLM and Finch number tokens this way',
  parameters: { policy: { kind: 'policy', description: 'What chooses the survivors; the same number in every head.' } },
  observes: 'what the wrapped policy observes, rope frequencies',
  costs: 'those of the wrapped policy, and one rotation of the kept keys',
  phases: ['prefill', 'decode'],
  deviations: ['Frequencies that depend on the length (dynamic NTK) are taken as they were at prefill.'],
  create: ({ policy }) => {
    const begin = wrapping('rerotate', policy, ['compensation', 'retrieval', 'reread', 'renumbering']);
    return {
      ragged: false,
      traits: [...(policy.traits ?? []), 'renumbering'] as const,
      begin: (context) => rotated(begin(context)),
    };
  },
});

function rotated(inner: PolicyRun): PolicyRun {
  const { decode, fork, revise } = inner;
  const dispose = () => inner.dispose();
  return {
    observe: inner.observe,
    budgets: inner.budgets,
    nextPosition: 'kept',
    ...(inner.segments && { segments: inner.segments }),
    select: async (view) => rotateSurvivors(view, await inner.select(view)),
    ...(decode && {
      decode: { ...decode, repeats: false, step: async (view: LayerView) => rotateSurvivors(view, await decode.step(view)) },
    }),
    ...(revise && {
      revise: async (done: number, earlier: (layer: number) => LayerView) =>
        (await revise.call(inner, done, earlier)).map(({ layer, decision }) => ({
          layer,
          decision: rotateSurvivors(earlier(layer), decision),
        })),
    }),
    ...(inner.memory && { memory: inner.memory }),
    ...(fork && { fork: () => rotated(fork.call(inner)) }),
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** Entry s of the survivors moves from its old slot p to position s: its key turns by (s − p) · frequency. */
function rotateSurvivors(view: LayerView, decision: Decision): Decision {
  if (decision === 'all') return decision;
  const survivors = 'selection' in decision ? decision : { selection: decision };
  const { selection } = survivors;
  const { backend, model } = view;
  const kept = selection.perHead ?? selection.maxPerHead;
  const keys = survivors.keys ?? gatherEntries(view, selection).keys;
  const order = backend.upload(
    Float32Array.from({ length: kept }, (_, slot) => slot),
    'f32',
    [1, kept],
  );
  const turns = backend.toInt(backend.zip(order, keptSlots(backend, selection), 'sub'));
  const rows = model.kvHeads * kept;
  const turned: Tensor = backend.rope(backend.reshape(keys, [rows, model.headDim]), backend.reshape(turns, [rows]), {
    heads: 1,
    inverseFrequencies: view.rope.inverseFrequencies,
  });
  return {
    ...survivors,
    keys: backend.reshape(turned, [model.kvHeads, kept, model.headDim]),
    renumbered: view.attention.window !== undefined,
  };
}
