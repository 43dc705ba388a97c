import { readRun, summarize } from '@kvsift/eval';
import { combineRuns, csvTable, latexTable, markdownTable, summaryTable, terminalTable } from '@kvsift/report';
import { Command, Option } from 'commander';
import { checkWritable } from '../output-paths.js';
import { writeReport } from '../write-report.js';

interface ReportFlags {
  readonly format: 'terminal' | 'markdown' | 'csv' | 'latex';
  readonly html?: string;
  readonly mix?: boolean;
  readonly json?: boolean;
}

export function reportCommand(): Command {
  return new Command('report')
    .description('Shows the results of runs as a table, or writes them as one self-contained HTML page.')
    .argument('<folders...>', 'folders of runs')
    .addOption(
      new Option('--format <format>', 'of the table').choices(['terminal', 'markdown', 'csv', 'latex']).default('terminal'),
    )
    .option('--html <file>', 'write a page with charts, kept tokens and failures')
    .option('--mix', 'allow results that were made under different circumstances in one table')
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  kvsift report runs/first\n  kvsift report runs/first --html first.html\n  kvsift report runs/* --format latex > table.tex',
    )
    .action(async (folders: string[], { format, html, mix = false, json = false }: ReportFlags) => {
      if (html !== undefined) await checkWritable(html);
      const runs = [];
      for (const folder of folders) runs.push(await readRun(folder));
      const data = combineRuns(runs, mix);
      const rows = summarize(data.results);
      if (html !== undefined) {
        await writeReport(html, data, folders.join(', '));
        console.error(`wrote ${html}`);
      }
      if (json) {
        console.log(JSON.stringify({ rows, manifests: Object.fromEntries(data.manifests) }, null, 2));
        return;
      }
      const table = summaryTable(rows);
      const formats = {
        terminal: () => terminalTable(table),
        markdown: () => markdownTable(table),
        csv: () => csvTable(rows),
        latex: () => latexTable(table),
      };
      console.log(formats[format]());
    });
}
