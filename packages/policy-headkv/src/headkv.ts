import { bundledPath, definePolicy, fitProtection, type LayerBudget, type SequenceContext, scoredRun } from '@kvsift/policy';
import { snapkv } from '@kvsift/policy-snapkv';
import { KvsiftError } from '@kvsift/tensor';
import { type HeadTable, perKvHead, readHeadTable } from './table.js';

/** Tables that this package brings along. */
const tables = new URL('../tables/', import.meta.url);

/** HeadKV (specification 21). */
export const headkv = definePolicy({
  name: 'headkv',
  title: 'HeadKV',
  idea: 'Few heads do the retrieval and reasoning. A table of head importance, made once per model, says how the whole budget is shared over all heads of all layers.',
  paper: {
    title: 'Not All Heads Matter: A Head-Level KV Cache Compression Method with Integrated Retrieval and Reasoning',
    authors: 'Fu, Cai, Asi, Xiong, Dong, Xiao',
    venue: 'ICLR 2025',
    url: 'https://arxiv.org/abs/2410.19258',
  },
  parameters: {
    policy: {
      kind: 'scored',
      default: () => snapkv({ window: 8, kernelSize: 7, pooling: 'max' }),
      description: 'What scores the entries.',
    },
    table: {
      kind: 'text',
      default: '',
      description:
        'Head table: smollm2-135m-instruct, or the path of one that `kvsift calibrate head-table` made (JSON); empty: all heads alike.',
    },
    beta: {
      kind: 'number',
      default: 1.5,
      min: 1,
      description: '1/beta of every head’s budget goes into the common pool; large values even heads out.',
    },
    counted: {
      kind: 'choice',
      choices: ['all', 'past'] as const,
      default: 'all',
      description: 'all: the budget holds the protected window too; past: the window comes on top of it (KVCache-Factory).',
    },
    temperature: { kind: 'number', default: 1, min: 0, description: 'Exponent on the importance.' },
  },
  budget: 'own',
  observes: 'what the wrapped policy observes',
  costs: 'those of the wrapped policy',
  phases: ['prefill'],
  profiles: {
    reference: { description: 'HeadKV repository.', parameters: { beta: 1.5 } },
    factory: { description: 'KVCache-Factory.', parameters: { beta: 1.01, counted: 'past' } },
  },
  deviations: [
    'Importance of query heads is averaged over the group; the repository keeps a set per query head.',
    'Head budgets sum to the whole budget exactly, over all layers; the repository rounds each head, and loses what a head gets beyond the prompt.',
  ],
  create: ({ policy, table, beta, counted, temperature }) => {
    const read: HeadTable | undefined =
      table === '' ? undefined : readHeadTable(bundledPath(table, tables, '.json'), 'head-table');
    if (read?.importance.flat().every((value) => value === 0)) {
      throw new KvsiftError('policy_invalid', `headkv: ${table} must have a head of an importance above 0, not zeros only`);
    }
    return {
      ragged: true,
      begin(context) {
        const { model, promptLength } = context;
        const protections = policy.scoring
          .allocate(context)
          .map(({ perHead }) => fitProtection('headkv', policy.scoring.protect, perHead, context));
        // The same in every layer, as heads of all layers share one pool.
        const protect = protections.reduce(
          (least, own) => (own.first + own.last < least.first + least.last ? own : least),
          policy.scoring.protect,
        );
        const even = Array.from({ length: model.layers }, () => Array.from({ length: model.kvHeads }, () => 1));
        const importance = read === undefined ? even : perKvHead(read, model);
        const onTop = counted === 'past' ? protect.first + protect.last : 0;
        const uniform = policy.scoring.allocate(context).map(({ perHead, total }) => ({
          perHead: perHead + onTop,
          total: total + onTop * model.kvHeads,
        }));
        const counts = headBudgets(context, uniform, protect, importance, beta, temperature);
        const budgets = counts.map((row): LayerBudget => {
          const total = row.reduce((sum, count) => sum + Math.min(count, promptLength), 0);
          return { perHead: Math.ceil(total / model.kvHeads), total };
        });
        return scoredRun(policy.name, policy.scoring.start(context), budgets, (view, scores) => {
          const keep = (counts[view.layer] ?? []).map((count) => Math.min(count, view.length));
          return view.backend.top(scores, {
            keep: {
              counts: view.backend.upload(Int32Array.from(keep), 'i32', [keep.length]),
              total: keep.reduce((sum, count) => sum + count, 0),
              max: Math.max(...keep),
            },
            protectFirst: protect.first,
            protectLast: protect.last,
          });
        });
      },
    };
  },
});

/** What heads want beyond the prompt goes to the others, in proportion to what they want. */
function spread(wanted: readonly number[], whole: number, most: number): number[] {
  const targets = [...wanted];
  const open = new Set(targets.keys());
  for (;;) {
    const over = [...open].filter((head) => (targets[head] ?? 0) > most);
    if (over.length === 0) return targets;
    for (const head of over) {
      targets[head] = most;
      open.delete(head);
    }
    const left = whole - (targets.length - open.size) * most;
    const sum = [...open].reduce((total, head) => total + (targets[head] ?? 0), 0);
    for (const head of open) targets[head] = sum > 0 ? ((targets[head] ?? 0) * left) / sum : left / open.size;
  }
}

/** Entries per layer and head, protected ones included: floors of f · pool + rest, then largest remainders so that the sum is the budget. */
export function headBudgets(
  { model, promptLength }: Pick<SequenceContext, 'model' | 'promptLength'>,
  uniform: readonly LayerBudget[],
  protect: { readonly first: number; readonly last: number },
  importance: readonly (readonly number[])[],
  beta: number,
  temperature: number,
): number[][] {
  const heads = model.layers * model.kvHeads;
  const reserved = protect.first + protect.last;
  const most = Math.max(0, promptLength - reserved);
  const whole = Math.min(uniform.reduce((sum, { total }) => sum + total, 0) - heads * reserved, heads * most);
  if (whole < 0)
    throw new KvsiftError('budget_invalid', `headkv: the budget is below the ${reserved} protected entries per head`);
  const average = Math.floor(whole / heads);
  const pooled = Math.floor(average / beta);
  const weights = importance.flat().map((value) => value ** temperature);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const wanted = weights.map((weight) => (sum > 0 ? (weight / sum) * pooled * heads : pooled) + average - pooled);
  const exact = spread(wanted, whole, most);
  const counts = exact.map(Math.floor);
  let left = whole - counts.reduce((total, count) => total + count, 0);
  const order = exact
    .map((value, head) => ({ rest: value - Math.floor(value), head }))
    .sort((a, b) => b.rest - a.rest || a.head - b.head);
  for (let at = 0; left > 0; at++) {
    const head = order[at % order.length]?.head ?? 0;
    const count = counts[head] ?? 0;
    if (count >= most) continue;
    counts[head] = count + 1;
    left--;
  }
  return Array.from({ length: model.layers }, (_, layer) =>
    counts.slice(layer * model.kvHeads, (layer + 1) * model.kvHeads).map((count) => count + reserved),
  );
}
