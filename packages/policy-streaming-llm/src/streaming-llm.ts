import { definePolicy, entryRow, filled, keepBest, resolveBudgets } from '@kvsift/policy';

/** StreamingLLM (specification 3): the first `sinks` entries and the most recent ones, the same in every head. */
export const streamingLlm = definePolicy({
  name: 'streaming-llm',
  title: 'StreamingLLM',
  idea: 'Models park attention on the first few tokens. Keep those sinks and the most recent tokens; drop the middle.',
  paper: {
    title: 'Efficient Streaming Language Models with Attention Sinks',
    authors: 'Xiao, Tian, Chen, Han, Lewis',
    venue: 'ICLR 2024',
    url: 'https://arxiv.org/abs/2309.17453',
  },
  parameters: {
    sinks: {
      kind: 'integer',
      default: 4,
      min: 0,
      unit: 'tokens',
      description: 'First tokens of the prompt that are always kept.',
    },
  },
  observes: 'nothing',
  costs: 'none',
  phases: ['prefill', 'decode'],
  profiles: {
    paper: {
      description: 'As published; add positions inside the cache with rerotate(streaming-llm).',
      parameters: { sinks: 4 },
    },
    kvpress: { description: 'kvpress StreamingLLMPress.', parameters: { sinks: 4 } },
  },
  deviations: [
    'Tokens keep their true positions; the paper numbers them inside the cache: wrap with rerotate for that.',
    'A fixed budget that leaves nothing besides the sinks is refused; references keep an arbitrary part of the sinks.',
  ],
  create: ({ sinks }) =>
    keepBest('streaming-llm', {
      protect: { first: sinks, last: 1 },
      allocate: resolveBudgets,
      start: () => ({
        observe: {},
        decode: { observe: {}, repeats: true },
        // Later is better.
        score: ({ backend, length, model: { kvHeads } }) =>
          backend.zip(
            filled(backend, [kvHeads, 1], 0),
            entryRow(backend, length, (entry) => entry),
            'add',
          ),
      }),
    }),
});
