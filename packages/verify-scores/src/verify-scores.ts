import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { KvsiftError } from '@kvsift/tensor';
import type { CaseFile } from './case-file.js';
import { infiniteBenchScores } from './files/infinitebench.js';
import { infiniteBenchAggregates, infiniteBenchPrompts } from './files/infinitebench-facts.js';
import { jiebaCases, lazySegmenter } from './files/jieba.js';
import { kvpressSplits } from './files/kvpress-splits.js';
import { languageModelling } from './files/language-modelling.js';
import { longBenchFiles } from './files/longbench.js';
import { needleScores } from './files/needle.js';
import { passkeyLandmark } from './files/passkey.js';
import { rulerFiles } from './files/ruler.js';
import { type CaseFailure, type Counts, describe, Tally } from './tally.js';

const caseFiles = (): readonly CaseFile[] => {
  const segmenter = lazySegmenter();
  return [
    infiniteBenchScores,
    infiniteBenchAggregates,
    infiniteBenchPrompts,
    jiebaCases(segmenter),
    ...longBenchFiles(segmenter),
    kvpressSplits,
    ...rulerFiles,
    needleScores,
    passkeyLandmark,
    languageModelling,
  ];
};

async function listFolder(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder, { recursive: true })).map((name) => name.replaceAll('\\', '/'));
  } catch (cause) {
    throw new KvsiftError('file_not_found', `expected a folder of case files, got ${folder}`, { path: folder }, { cause });
  }
}

/**
 * Runs every case file of a folder with the format of `shared/data`, each row under the profile that its column names, and reports each
 * failed case. A JSON file or column that no check knows is a failure; cases whose rows the folder lacks are skipped and counted, a line for
 * each file and reason.
 * @throws KvsiftError `file_not_found` where the folder does not exist
 */
export async function verifyScores(
  folder: string,
  report: (failure: CaseFailure) => void,
  onSkip: (line: string) => void = () => {},
): Promise<Counts> {
  const names = (await listFolder(folder)).filter((name) => /\.jsonl?$/.test(name)).sort();
  const tally = new Tally(report);
  const files = caseFiles();
  for (const name of names) {
    const file = files.find(({ pattern }) => pattern.test(name));
    if (file === undefined) {
      tally.fail(name, 'no check knows this file');
      continue;
    }
    try {
      await file.run(join(folder, name), name, tally);
    } catch (error) {
      tally.fail(name, describe(error));
    }
  }
  for (const line of tally.skips) onSkip(line);
  return tally.counts;
}
