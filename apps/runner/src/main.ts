import { isKvsiftError } from '@kvsift/tensor';
import { Command, CommanderError } from 'commander';
import { calibrateCommand } from './commands/calibrate.js';
import { chatCommand } from './commands/chat.js';
import { dataCommand } from './commands/data.js';
import { demoCommand } from './commands/demo.js';
import { evalCommand } from './commands/eval.js';
import { generateCommand } from './commands/generate.js';
import { inspectCommand } from './commands/inspect.js';
import { lmCommand } from './commands/lm.js';
import { policiesCommand } from './commands/policies.js';
import { reportCommand } from './commands/report.js';
import { tuneCommand } from './commands/tune.js';
import { verifyCommand } from './commands/verify.js';
import { workerCommand } from './commands/worker.js';
import { exitCodeHelp, exitCodeOf, exitCodes } from './exit-codes.js';
import { pathError } from './output-paths.js';
import { version } from './version.js';

/** The whole command line. */
export function program(): Command {
  return new Command('kvsift')
    .description('Runs open-weight language models with a key/value cache that shrinks, and measures what that costs.')
    .version(version())
    .showHelpAfterError('(--help tells more)')
    .addCommand(demoCommand())
    .addCommand(generateCommand())
    .addCommand(chatCommand())
    .addCommand(evalCommand())
    .addCommand(workerCommand())
    .addCommand(lmCommand())
    .addCommand(tuneCommand())
    .addCommand(calibrateCommand())
    .addCommand(dataCommand())
    .addCommand(reportCommand())
    .addCommand(inspectCommand())
    .addCommand(policiesCommand())
    .addCommand(verifyCommand())
    .addHelpText('after', exitCodeHelp);
}

/** Runs a command line; sets the exit code. Errors become one line. */
export async function main(argv: readonly string[]): Promise<void> {
  const command = program();
  for (const part of [command, ...command.commands, ...command.commands.flatMap(({ commands }) => commands)]) {
    part.exitOverride().option('--debug', 'print the stack trace of an error');
  }
  try {
    await command.parseAsync([...argv]);
  } catch (thrown) {
    const error = pathError(thrown);
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
      return;
    }
    const debug = argv.includes('--debug');
    const text = isKvsiftError(error) ? error.message : error instanceof Error ? `unexpected: ${error.message}` : String(error);
    console.error(debug && error instanceof Error ? error.stack : `error: ${text.replaceAll('\n', ' ')}`);
    process.exitCode = exitCodeOf(error);
  }
}
