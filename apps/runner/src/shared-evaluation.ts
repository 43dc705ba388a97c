import { randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { currentCommit, type RunConfig } from '@kvsift/eval';
import type { SharedRun, SharedRunOptions } from '@kvsift/eval-queue';
import { formatPolicy, outsideVersions, type PolicyRegistry } from '@kvsift/policy';
import { KvsiftError } from '@kvsift/tensor';
import { codeFolder, version } from './version.js';

/** Requests of a shared run that are queued at a time: enough for many workers, few enough that their prompts fit into Redis. */
export const sharedRequests = 64;

/** Opens the queue of the run in a folder; continuing the run finds the queue again. @throws KvsiftError `queue_unavailable`, `invalid_argument` */
export async function shareRun(
  url: string,
  folder: string,
  { backend, kvType, policies }: RunConfig,
  registry: PolicyRegistry,
  options: Pick<SharedRunOptions, 'finish' | 'onRefused' | 'onConnection'>,
): Promise<SharedRun> {
  const facts = { kvsift: version(), commit: await currentCommit(codeFolder), backend, kvType: kvType ?? null };
  // The client of the queue takes as long to load as all the rest of a run that shares nothing.
  const { SharedRun } = await import('@kvsift/eval-queue');
  const parsed = policies.map((expression) => registry.parse(expression));
  return SharedRun.open({
    url,
    run: await runName(folder),
    facts,
    policies: parsed.map((policy) => formatPolicy(policy)),
    outside: Object.assign({}, ...parsed.map((policy) => outsideVersions(policy, registry))),
    ...options,
  });
}

/** What runs and workers say of their queue. */
export function connectionRemark(isThere: boolean): string {
  return isThere ? 'the queue answers again' : 'the queue does not answer: waiting for it; Ctrl-C stops';
}

/** The name of a folder's run in the queue: made once, kept in the folder. */
async function runName(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, 'queue');
  await writeFile(path, randomUUID(), { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const name = await readFile(path, 'utf8');
  if (/^[0-9a-f-]{36}$/.test(name)) return name;
  throw new KvsiftError(
    'data_malformed',
    `${path}: expected the name of a run in a queue; delete the file to share the run anew`,
    { path },
  );
}
