import { readFile } from 'node:fs/promises';
import type { GenerateOptions, SessionOptions } from '@kvsift/engine';
import { allPolicies, policyOf } from '@kvsift/policies';
import { formatBudget, parseBudget } from '@kvsift/policy';
import { KvsiftError, type KvType, kvTypes } from '@kvsift/tensor';
import { InvalidArgumentError, Option } from 'commander';
import { number, whole } from './number-option.js';

/** Options of commands that run a model. */
export interface RunOptions {
  readonly policy?: string;
  readonly budget?: string;
  readonly kvType?: KvType;
  readonly layout?: 'dense' | 'flattened' | 'paged';
  readonly context?: number;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly seed: number;
  readonly stop: readonly string[];
}

/** An option that is the address of a Redis server. */
export function redisUrl(text: string): string {
  if (URL.canParse(text) && /^rediss?:$/.test(new URL(text).protocol)) return text;
  throw new InvalidArgumentError('expected an address such as redis://127.0.0.1:6379');
}

export const cacheOptions = (): Option[] => [
  new Option('--policy <expression>', 'what to keep, e.g. "snapkv(window=32)" or "adakv(snapkv())"; see kvsift policies'),
  new Option('--budget <amount>', 'how much: 512 (tokens per KV head), 20% (of the prompt) or 64MiB (whole cache)'),
  new Option('--kv-type <type>', 'storage of keys and values').choices(kvTypes),
  new Option('--layout <kind>', 'how the cache is laid out').choices(['dense', 'flattened', 'paged']),
  new Option('--context <tokens>', 'longest text in tokens (default: what the model was made for)').argParser(whole(1)),
];

export const samplingOptions = (maxTokens: number): Option[] => [
  new Option('--max-tokens <n>', 'most tokens to generate').default(maxTokens).argParser(whole(1)),
  new Option('--temperature <t>', '0 takes the most likely token').default(0).argParser(number(0, 100)),
  new Option('--top-k <k>', 'only the k most likely; 0: all').default(0).argParser(whole(0)),
  new Option('--top-p <p>', 'only the most likely that sum to p').default(1).argParser(number(0, 1)),
  new Option('--min-p <p>', 'only those with p times the largest probability').default(0).argParser(number(0, 1)),
  new Option('--seed <n>', 'equal seeds give equal texts').default(0).argParser(whole(0, 2 ** 32 - 1)),
  new Option('--stop <text...>', 'texts that end the answer').default([]),
];

/** Budgets in one spelling (`20.0%` is `20%`), each once. @throws KvsiftError `budget_invalid` */
export function budgetList(texts: readonly string[]): string[] {
  return [...new Set(texts.map((text) => formatBudget(parseBudget(text))))];
}

/** Session options of a command line. @throws KvsiftError `policy_unknown`, `policy_invalid`, `budget_invalid` */
export async function sessionOptions(
  options: Pick<RunOptions, 'policy' | 'budget' | 'kvType' | 'layout'> & { seed?: number },
): Promise<SessionOptions> {
  const { policy, budget, kvType, layout, seed } = options;
  if (policy === undefined && budget !== undefined) {
    throw new KvsiftError('budget_invalid', '--budget needs --policy: which tokens shall be kept? See kvsift policies');
  }
  const made = policy === undefined ? undefined : await policyOf(policy, allPolicies());
  if (made !== undefined && budget === undefined && !made.ignoresBudget) {
    throw new KvsiftError(
      'budget_invalid',
      `--policy ${policy} needs a budget: --budget 512 (tokens), 20% (of the prompt) or 64MiB (whole cache)`,
    );
  }
  return {
    ...(made && { policy: made }),
    ...(budget !== undefined && { budget: parseBudget(budget) }),
    ...(kvType && { kvType }),
    ...(layout && { layout }),
    ...(seed !== undefined && { seed }),
  };
}

/** Text of a file, `-` for standard input. @throws KvsiftError `file_not_found`, `file_malformed` where it is not UTF-8 */
export async function readText(path: string): Promise<string> {
  let bytes: Uint8Array;
  if (path === '-') {
    const parts: Uint8Array[] = [];
    for await (const part of process.stdin) parts.push(part as Uint8Array);
    bytes = Buffer.concat(parts);
  } else {
    bytes = await readFile(path).catch((error: unknown) => {
      throw new KvsiftError(
        'file_not_found',
        `${path}: the file cannot be read: ${(error as Error).message.replace(/,.*/, '')}`,
        { path },
        { cause: error },
      );
    });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new KvsiftError(
      'file_malformed',
      `${path}: expected UTF-8 text, the file holds other bytes`,
      { path },
      { cause: error },
    );
  }
}

/** Generate options of a command line. */
export function generateOptions({ maxTokens, temperature, topK, topP, minP, seed, stop }: RunOptions): GenerateOptions {
  return { maxTokens, temperature, topK, topP, minP, seed, stop };
}
