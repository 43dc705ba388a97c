import { formatBytes, isKvsiftError, KvsiftError } from '@kvsift/tensor';
import type { EvalEngine } from '../engine/contract.js';
import type { Cell } from './cells.js';
import type { RunConfig } from './config.js';
import type { RunEvent } from './events.js';
import type { SuitePlan } from './plan.js';
import { buildPrompt } from './prompt.js';
import { type SampleContext, sampleErrors } from './sample.js';

/**
 * Estimates what the longest sample needs, under the cell that needs most.
 * @returns whether there is room for it under all cells at once, as far as anybody knows
 * @throws KvsiftError `out_of_memory` where that is more than there is and the run stops at errors
 */
export function checkMemory(
  { engine, plan, context }: { readonly engine: EvalEngine; readonly plan: SuitePlan; readonly context: SampleContext },
  cells: readonly Cell[],
  { question, onError, seed }: RunConfig,
  onEvent: ((event: RunEvent) => void) | undefined,
): boolean {
  const { longest } = plan;
  if (longest === undefined || engine.memoryNeeded === undefined) return true;
  const prompt = buildPrompt(longest, question, context.chat);
  const read = engine.tokenizer.encode(prompt.context + prompt.question.text).length;
  const tokens = Math.min(engine.contextLength, read + longest.maxNewTokens);
  const needs = ({ setting }: Pick<Cell, 'setting'>, length = tokens): number => {
    try {
      return engine.memoryNeeded?.(length, { ...setting, seed, sequence: 0 }) ?? 0;
    } catch (error) {
      // A budget that does not fit its policy: the samples will say so.
      if (isKvsiftError(error) && sampleErrors.has(error.code)) return 0;
      throw error;
    }
  };
  const needed = Math.max(...cells.map((cell) => needs(cell)));
  const weights = needs({ setting: {} }, 1);
  const together = cells.reduce((sum, cell) => sum + Math.max(0, needs(cell) - weights), weights);
  const available = engine.memoryBytes;
  onEvent?.({
    type: 'memory',
    model: context.model,
    suite: plan.suite.name,
    tokens,
    needed,
    ...(available !== undefined && { available }),
  });
  if (available === undefined || needed <= available || onError === 'continue')
    return available === undefined || together <= available;
  const { task, id } = longest;
  throw new KvsiftError(
    'out_of_memory',
    `${plan.suite.name} ${task}: sample ${id} of ${tokens} tokens needs about ${formatBytes(needed)}, and there are ${formatBytes(available)}: shorten the prompts (promptTokens), or go on without such samples (onError: continue)`,
    { task, sample: id, tokens, neededBytes: needed, availableBytes: available },
  );
}
