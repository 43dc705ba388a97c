import { readRun } from '@kvsift/eval';
import { Command, Option } from 'commander';
import { checkWritable } from '../output-paths.js';
import { type ReportFormat, reportFormats, reportJson, reportOf, reportText } from '../run-report.js';
import { writeReport } from '../write-report.js';

interface ReportFlags {
  readonly format: ReportFormat;
  readonly html?: string;
  readonly mix?: boolean;
  readonly json?: boolean;
}

export function reportCommand(): Command {
  return new Command('report')
    .description('Shows the results of runs as a table, or writes them as one self-contained HTML page.')
    .argument('<folders...>', 'folders of runs')
    .addOption(new Option('--format <format>', 'of the tables').choices(reportFormats).default('terminal'))
    .option('--html <file>', 'write a page with charts, kept tokens and failures')
    .option(
      '--mix',
      'allow results that were made under different circumstances: in rows of their own where samples are the same',
    )
    .addOption(new Option('--json', 'print the summary as JSON').conflicts('format'))
    .addHelpText(
      'after',
      '\nExamples:\n  kvsift report runs/first\n  kvsift report runs/first --html first.html\n  kvsift report runs/* --format latex > table.tex',
    )
    .action(async (folders: string[], { format, html, mix = false, json = false }: ReportFlags) => {
      if (html !== undefined) await checkWritable(html);
      const runs = [];
      for (const folder of folders) runs.push(await readRun(folder));
      const report = reportOf(runs, mix);
      if (html !== undefined) {
        await writeReport(html, report.data, folders.join(', '));
        console.error(`wrote ${html}`);
      }
      console.log(json ? JSON.stringify(reportJson(report), null, 2) : reportText(report, format));
    });
}
