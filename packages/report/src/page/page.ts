import { createHash } from 'node:crypto';
import { type Manifest, type Result, type SummaryRow, summarize } from '@kvsift/eval';
import type { ReportData } from '../combine.js';
import { suiteTables } from '../suite-tables.js';
import { summaryTable, type Table } from '../table.js';
import { budgetLegend, bytesChart, qualityChart, timeChart } from './charts.js';
import { explorer } from './explorer.js';
import { heatMaps } from './heat.js';
import { type Html, html, scriptJson, trusted } from './html.js';
import { explorerData } from './payload.js';
import { style } from './style.js';

/** The page of `reportPage`. */
export function drawPage(data: ReportData, title: string): string {
  const rows = summarize(data.results);
  const script = `(${explorer.toString()})();`;
  const hash = createHash('sha256').update(script).digest('base64');
  const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'; img-src data:`;
  const { failed, ...explored } = explorerData(data, rows);
  const suites = suiteTables(data.suites);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${trusted(style)}</style>
</head>
<body>
<h1>${title}</h1>
<p class="soft">${counted(data.results.length, 'result')}, ${counted(new Set(data.results.map(({ model }) => model)).size, 'model')}, ${counted(data.manifests.size, 'manifest')}</p>
${tableOf(summaryTable(rows), 'summary')}
${groups(rows).map((group) => taskSection(group, data.results))}
${explored.retentions.length > 0 ? retentionSection() : undefined}
${suites.length > 0 ? html`<section id="suites"><h2>As the suites report it</h2>${suites.map((suite) => html`<h3>${suite.title}</h3>${tableOf(suite)}`)}</section>` : undefined}
${failed > 0 ? failureSection(explored.failures.length, failed) : undefined}
${leftOutSection(data.manifests)}
${manifestSection(data.manifests)}
<script type="application/json" id="data">${scriptJson(explored)}</script>
<script>${trusted(script)}</script>
</body>
</html>
`;
  return page.markup;
}

const counted = (count: number, noun: string, nouns = `${noun}s`) => `${count} ${count === 1 ? noun : nouns}`;

function tableOf({ columns, rows: lines, notes }: Table, id?: string): Html {
  const side = (index: number) => (columns[index]?.align === 'right' ? 'right' : 'left');
  return html`<div class="scroll" tabindex="0" role="region" aria-label="table"><table${id === undefined ? undefined : html` id="${id}"`}>
<thead><tr>${columns.map(({ title }, index) => html`<th class="${side(index)}" scope="col">${title}</th>`)}</tr></thead>
<tbody>${lines.map((cells) => html`<tr>${cells.map((cell, index) => html`<td class="${side(index)}">${cell}</td>`)}</tr>`)}</tbody>
</table></div>
${notes.map((note) => html`<p class="soft">${note}</p>`)}`;
}

/** Rows of one task of one model; of one manifest where these are kept apart. */
function groups(rows: readonly SummaryRow[]): SummaryRow[][] {
  const found = new Map<string, SummaryRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.model, row.suite, row.task, row.apart]);
    found.set(key, [...(found.get(key) ?? []), row]);
  }
  return [...found.values()];
}

function taskSection(rows: readonly SummaryRow[], results: readonly Result[]): Html | undefined {
  const [first] = rows;
  if (first === undefined || rows.length < 2) return undefined;
  const { model, suite, task, apart } = first;
  const isOwn = (result: Result) =>
    result.model === model && result.suite === suite && result.task === task && (apart ?? result.manifest) === result.manifest;
  const own = results.filter(isOwn);
  const heats = heatMaps(own);
  const figure = (chart: Html, caption: string) =>
    html`<figure><div class="scroll" tabindex="0" role="region" aria-label="chart">${chart}</div><figcaption>${caption}</figcaption></figure>`;
  return html`<section>
<h2>${model}: ${suite} ${task}${apart === undefined ? undefined : `, manifest ${apart}`}</h2>
<ul class="legend">${budgetLegend(rows).map(({ name, color }) => html`<li><i style="background:${color}"></i>${name}</li>`)}</ul>
<h3>Quality against budget</h3>
${figure(qualityChart(rows), 'Accuracy with 95 % intervals, best policy first. The dashed line is the full cache.')}
<h3>Quality against bytes</h3>
${figure(bytesChart(rows), 'Bytes that the allocator holds for the cache after the prompt. The best policy of each budget is named; the ring is the full cache.')}
<h3>Time</h3>
${figure(timeChart(rows, 'prefill'), 'Reading the prompt, evictions included.')}
${figure(timeChart(rows, 'rate'), 'Answering, without the first token.')}
${heats.length > 0 ? html`<h3>Where in the text</h3>` : undefined}
${heats.map(({ chart, caption }) => figure(chart, caption))}
</section>`;
}

function retentionSection(): Html {
  return html`<section id="retention">
<h2>What each layer kept</h2>
<div class="controls">
<label>sample <select id="sample"></select></label>
<label>policy and budget <select id="cell"></select></label>
<label>layer <select id="layer"></select></label>
</div>
<canvas id="picture" role="img" aria-label="Kept tokens: one row per layer, one column per token"></canvas>
<p class="soft">One row per layer, one column per token; the stronger the colour, the more heads kept the token.</p>
<p class="soft" id="count"></p>
<div class="text" id="text"></div>
</section>`;
}

function failureSection(shown: number, all: number): Html {
  const count = shown < all ? `${shown} of ${all} answers` : counted(all, 'answer');
  const share = shown < all ? ': as many of each policy and budget as there is room for' : '';
  return html`<section>
<h2>What went wrong</h2>
<p class="soft" id="failure-count">${count} below a full score${share}.</p>
<div class="controls"><label>policy and budget <select id="failing"></select></label></div>
<div id="failures"></div>
</section>`;
}

function leftOutSection(manifests: ReadonlyMap<string, Manifest>): Html | undefined {
  const all = [...manifests].flatMap(([hash, { suite, leftOut = [] }]) =>
    leftOut.map(({ task, message }) => html`<li>${suite.name} ${task}, manifest ${hash}: ${message}</li>`),
  );
  if (all.length === 0) return undefined;
  return html`<section id="left-out">
<h2>What was left out</h2>
<details><summary>${counted(all.length, 'data row or task', 'data rows or tasks')}</summary><ul>${all}</ul></details>
</section>`;
}

function manifestSection(manifests: ReadonlyMap<string, Manifest>): Html {
  return html`<section>
<h2>How the numbers were made</h2>
${[...manifests].map(([hash, manifest]) => html`<details><summary>manifest ${hash}</summary><pre>${JSON.stringify(manifest, null, 2)}</pre></details>`)}
</section>`;
}
