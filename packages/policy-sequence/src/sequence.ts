import {
  definePolicy,
  type EvictionPolicy,
  gatherColumns,
  gatherView,
  isScored,
  joinObservations,
  keptSlots,
  type LayerView,
  narrowView,
  type Observation,
  type PolicyRun,
  resolveBudgets,
  type SequenceContext,
  viewOfRows,
  wrapping,
} from '@kvsift/policy';
import { type Backend, KvsiftError, type Selection, type Tensor } from '@kvsift/tensor';

const all = ['cascade', 'decode', 'compensation', 'retrieval', 'reread', 'segments', 'renumbering', 'merging'] as const;

/** Two policies one after the other (specification 31). */
export const sequence = definePolicy({
  name: 'sequence',
  title: 'One policy after another',
  idea: 'The first policy takes a part of the way to the budget, the second the rest: it sees, and scores anew, only what the first has left.',
  source: 'kvpress ComposedPress',
  parameters: {
    first: { kind: 'policy', description: 'What chooses of the prompt; the same number in every head.' },
    second: {
      kind: 'policy',
      description:
        'What chooses of the rest. It may look at keys, values and unrotated queries, and at rotated queries of tokens that the first protects.',
    },
    share: {
      kind: 'number',
      default: 0.5,
      min: 0,
      max: 1,
      description:
        'The first keeps (budget / prompt)^share of the prompt: with 0.5 both keep the same fraction of what they see.',
    },
  },
  observes: 'what both policies observe',
  costs: 'those of both, the second’s over what the first has left; a copy of that',
  phases: ['prefill'],
  deviations: ['kvpress gives each policy a ratio of its own; here both come out at the budget.'],
  create: ({ first, second, share }) => {
    const beginFirst = wrapping('sequence', first, all);
    const beginSecond = wrapping('sequence', second, all);
    return {
      ragged: false,
      begin(context) {
        const left = leftByFirst(context, share);
        const before = beginFirst({ ...context, budget: { kind: 'share', numerator: left, denominator: context.promptLength } });
        try {
          return inOrder(context, before, beginSecond(afterFirst(context, left)), protectedBy(first), second.name);
        } catch (error) {
          before.dispose();
          throw error;
        }
      },
    };
  },
});

/** Entries per head that the first policy leaves. */
export function leftByFirst(context: SequenceContext, share: number): number {
  const { promptLength } = context;
  const most = Math.max(...resolveBudgets(context).map(({ perHead }) => perHead));
  if (most >= promptLength) return promptLength;
  return Math.max(most, Math.round(promptLength * (most / promptLength) ** share));
}

/** The context of what the first has left: a share of the prompt is as many entries. */
function afterFirst(context: SequenceContext, left: number): SequenceContext {
  const { budget } = context;
  if (budget.kind !== 'share') return { ...context, promptLength: left };
  const [{ perHead = 0 } = {}] = resolveBudgets(context);
  return { ...context, promptLength: left, budget: { kind: 'share', numerator: Math.min(perHead, left), denominator: left } };
}

/** Last tokens that a policy keeps whatever they are worth. */
function protectedBy(policy: EvictionPolicy): number {
  return isScored(policy) ? policy.scoring.protect.last : 0;
}

function inOrder({ model }: SequenceContext, before: PolicyRun, after: PolicyRun, tail: number, name: string): PolicyRun {
  demandFresh(after.observe, tail, name);
  const dispose = () => {
    before.dispose();
    after.dispose();
  };
  return {
    observe: joinObservations([before.observe, after.observe]),
    budgets: after.budgets,
    async select(view) {
      const budget = before.budgets[view.layer] ?? view.budget;
      const own = { ...narrowed(view, before.observe), budget };
      const chosen = budget.total >= view.length * model.kvHeads ? 'all' : await before.select(own);
      if (chosen === 'all') return after.select(narrowed(view, after.observe));
      const first = 'selection' in chosen ? chosen.selection : chosen;
      const left = narrowed(viewOfLeft(view, first), after.observe);
      if (view.budget.perHead >= left.length) return first;
      const decision = await after.select(left);
      if (decision === 'all') return first;
      return composed(view, first, left, 'selection' in decision ? decision.selection : decision);
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** @throws KvsiftError `policy_invalid` where a policy reads attention that the first has made stale */
function demandFresh({ columnSums, queries = 'none' }: Observation, tail: number, name: string): void {
  const rows = queries === 'none' ? 0 : queries === 'all' ? Number.POSITIVE_INFINITY : queries.last;
  if (!columnSums && rows <= tail) return;
  const reads =
    columnSums || queries === 'all' ? 'the attention of the whole prompt' : `the attention of the last ${rows} tokens`;
  throw new KvsiftError(
    'policy_invalid',
    `sequence: ${name} reads ${reads}, of which the first policy is sure to keep ${tail}; put it first, or before it what protects them`,
    { policy: name },
  );
}

function narrowed(view: LayerView, observe: Observation): LayerView {
  return narrowView(view, observe, view.budget, view.backend);
}

/** The layer as if it held nothing but what the first policy has left; what was computed over all of it is gone. */
function viewOfLeft(view: LayerView, selection: Selection): LayerView {
  const { queryLogSums: _logSums, columnSums: _sums, keysBeforeRotation, attention, ...rest } = view;
  const { backend } = view;
  // What a sliding window hides is gone already: of the rest every row sees what lies before it.
  const { window: _window, ...shape } = attention;
  return {
    ...rest,
    attention: shape,
    cache: gatherView(backend, view.cache, selection),
    length: selection.perHead ?? selection.maxPerHead,
    ...(keysBeforeRotation && { keysBeforeRotation: rowsOfLeft(backend, keysBeforeRotation, view, selection) }),
  };
}

/** Rows [n, kvHeads · width] of the survivors, which differ from head to head: [kept, kvHeads · width]. */
function rowsOfLeft(backend: Backend, rows: Tensor, { length, model }: LayerView, selection: Selection): Tensor {
  const { kvHeads } = model;
  const [, columns = 0] = rows.shape;
  const width = columns / kvHeads;
  const byHead = backend.transpose(backend.reshape(rows, [length, kvHeads, width]), [1, 0, 2]);
  const view = viewOfRows(backend, backend.reshape(byHead, [kvHeads * length, width]), kvHeads, length);
  const kept = backend.kvRead(gatherView(backend, view, selection), 'keys');
  return backend.reshape(backend.transpose(kept, [1, 0, 2]), [kept.shape[1] ?? 0, columns]);
}

/** What the second policy chose of the first one's survivors, as slots of the layer. */
function composed({ backend }: LayerView, first: Selection, left: LayerView, second: Selection): Selection {
  const slots = gatherColumns(left, keptSlots(backend, first), second);
  return { ...second, indices: backend.toInt(backend.reshape(slots, [second.total])) };
}
