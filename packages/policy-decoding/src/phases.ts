import { definePolicy, joinObservations, narrowView, type PolicyRun, type SavedState, wrapping } from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';

/** One policy for the prompt and one for the answer (specification 28c). */
export const phases = definePolicy({
  name: 'phases',
  title: 'A policy for each phase',
  idea: 'One policy chooses what is left of the prompt, another evicts while the answer is decoded.',
  source: 'kvpress PrefillDecodingPress',
  parameters: {
    prompt: { kind: 'policy', description: 'What chooses after the prompt; the same number in every head.' },
    answer: {
      kind: 'policy',
      description: 'What evicts while decoding: decoding(...). What it would do to the prompt is left out.',
    },
  },
  observes: 'what both policies observe',
  costs: 'those of each policy in its phase',
  phases: ['prefill', 'decode'],
  create: ({ prompt, answer }) => {
    const beginPrompt = wrapping('phases', prompt, ['decode', 'compensation', 'retrieval', 'reread', 'segments', 'renumbering']);
    const traits = answer.traits ?? [];
    const others = traits.filter((trait) => trait !== 'decode' && trait !== 'merging');
    if (answer.ragged || !traits.includes('decode') || others.length > 0) {
      throw new KvsiftError(
        'policy_invalid',
        `phases needs an answer policy that evicts, or merges, while decoding and does nothing else besides: answer=decoding(...), not ${answer.name}`,
        { policy: answer.name },
      );
    }
    return {
      ragged: false,
      traits: [...(prompt.traits ?? []), 'decode'] as const,
      begin(context) {
        const first = beginPrompt(context);
        try {
          return inTurn(first, answer.begin(context), true);
        } catch (error) {
          first.dispose();
          throw error;
        }
      },
    };
  },
});

/** Before its first step the answer's policy has gathered nothing, as it has seen nothing of the prompt. */
function isEmpty({ numbers, tensors }: SavedState): boolean {
  return Object.keys(numbers).length + Object.keys(tensors).length === 0;
}

/** @param owns whether this run ends the first one: forks share it, and have no more use for it */
function inTurn(first: PolicyRun, later: PolicyRun, owns: boolean): PolicyRun {
  const dispose = () => {
    if (owns) first.dispose();
    later.dispose();
  };
  const { fork: _fork, memory: _memory, ...prefill } = first;
  const { decode, memory, rollback, fork } = later;
  return {
    ...prefill,
    // The decode rule begins with the last rows of the prompt.
    observe: joinObservations([first.observe, decode?.observe ?? {}]),
    select: (view) => first.select(narrowView(view, first.observe, view.budget, view.backend)),
    ...(decode && { decode }),
    ...(memory && {
      memory: { ...memory, check: (state, standing) => (isEmpty(state) ? undefined : memory.check(state, standing)) },
    }),
    ...(rollback && { rollback: (tokens: number) => rollback.call(later, tokens) }),
    ...(fork && { fork: () => inTurn(first, fork.call(later), false) }),
    dispose,
    [Symbol.dispose]: dispose,
  };
}
