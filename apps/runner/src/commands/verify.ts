import { KvsiftError } from '@kvsift/tensor';
import { suites, verify } from '@kvsift/verify';
import { verifyScores } from '@kvsift/verify-scores';
import { Argument, Command } from 'commander';
import { type BackendChoice, backendOptions, createBackend } from '../backends.js';
import { exitCodes } from '../exit-codes.js';
import { Progress } from '../progress.js';

interface VerifyFlags extends BackendChoice {
  readonly models?: readonly string[];
  readonly json?: boolean;
}

export function verifyCommand(): Command {
  const command = new Command('verify')
    .description('Runs every golden case of a folder: one line per failing case, then "N passed, N failed, N skipped".')
    .addArgument(new Argument('<suite>', 'which format the folder has').choices([...Object.keys(suites), 'scores']))
    .argument('<folder>', 'a folder in the format of golden/<suite>; of reference scores for scores')
    .option('--models <folders...>', 'where models that cases name are looked up first')
    .option('--json', 'print JSON lines')
    .action(runVerify)
    .addHelpText(
      'after',
      `
Examples:
  kvsift verify forward ../shared/golden/forward --backend cpu
  kvsift verify scores ../shared/data`,
    );
  // Goldens are exact: so is the default here. Commander takes a default when an option is added, not later.
  for (const option of backendOptions()) command.addOption(option.long === '--compute' ? option.default('f32') : option);
  return command;
}

async function runVerify(suite: string, folder: string, flags: VerifyFlags): Promise<void> {
  // Lines of failures stay; what stands between them is replaced.
  using progress = new Progress(flags.json);
  const done = { passed: 0, failed: 0 };
  const count = (kind: keyof typeof done, name: string) => {
    done[kind]++;
    progress.update(`${done.passed} passed, ${done.failed} failed; ${name}`);
  };
  const report = (kind: 'failed' | 'skipped') => (line: string) => {
    progress.clear();
    print(kind)(line);
    if (kind === 'failed') count('failed', line.slice(0, Math.max(0, line.indexOf(':'))));
  };
  const print = (kind: 'failed' | 'skipped') => (line: string) =>
    console.log(flags.json ? JSON.stringify({ [kind]: line }) : `${kind}: ${line}`);
  const counts =
    suite === 'scores'
      ? await verifyScores(folder, ({ case: name, message }) => print('failed')(`${name}: ${message}`), print('skipped'))
      : await verify(suite, folder, {
          backend: () => createBackend(flags),
          ...(flags.models && { models: flags.models }),
          onPass: (name) => count('passed', name),
          onFailure: report('failed'),
          onSkip: report('skipped'),
        });
  progress.clear();
  if (counts.passed + counts.failed + counts.skipped === 0)
    throw new KvsiftError('file_not_found', `${folder} holds no case of ${suite}`, { path: folder });
  console.log(
    flags.json ? JSON.stringify(counts) : `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`,
  );
  if (counts.failed > 0) process.exitCode = exitCodes.failed;
}
