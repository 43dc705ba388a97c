import { formatBytes } from '../format.js';
import type { DemoResult } from './run-demo.js';

const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Text that is safe between tags and in attributes. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => escapes[character] ?? '');
}

/** One self-contained page: the numbers of the table and, per policy, which tokens each layer kept. */
export function demoPage(result: DemoResult, setting: string): string {
  const rows = result.rows.map((row) => {
    const share = row.right / row.samples;
    return `<tr><th>${escapeHtml(row.policy)}</th><td>${escapeHtml(row.budget)}</td>
<td><meter min="0" max="1" value="${share}"></meter> ${Math.round(100 * share)} % (n = ${row.samples})</td>
<td>${formatBytes(row.cacheBytes)}</td><td>${(1000 * row.prefillSeconds).toFixed(0)} ms</td><td>${row.decodeTokensPerSecond.toFixed(0)}</td></tr>`;
  });
  // "</" would end the script element; JSON may write it as "<\/".
  const data = JSON.stringify({ tokens: result.tokenTexts, retention: result.retention, kvHeads: result.kvHeads }).replaceAll(
    '<',
    '\\u003c',
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>kvsift demo</title><style>
:root{color-scheme:light dark;--ink:#1c1b1a;--paper:#fdfcfa;--line:#d9d5ce;--mark:20 110 190}
@media(prefers-color-scheme:dark){:root{--ink:#ebe8e3;--paper:#1a1918;--line:#45423d;--mark:90 170 250}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:72rem;margin:2rem auto;padding:0 1rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{text-align:right;padding:.3rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child{text-align:left}label{margin-right:1rem}select{font:inherit}
#text{border:1px solid var(--line);border-radius:.4rem;padding:.8rem;line-height:1.7;overflow-wrap:anywhere}
#text span{background:rgb(var(--mark)/calc(var(--kept)*.65))}
</style></head><body>
<h1>Which tokens may go?</h1>
<p>${escapeHtml(setting)}. Every row answers the same questions; the cache holds only what the policy kept.</p>
<div class="scroll"><table><thead><tr><th>policy</th><th>budget</th><th>right</th><th>cache held</th><th>prefill</th><th>decode tokens/s</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>
<h2>What each layer kept of the first text</h2>
<p>“${escapeHtml(result.example.question)}” Expected: ${escapeHtml(result.example.answer)}. The darker a token, the more KV heads of the layer kept it.</p>
<p><label>Policy <select id="policy"></select></label><label>Layer <select id="layer"></select></label><span id="count"></span></p>
<div id="text"></div>
<script type="application/json" id="data">${data}</script>
<script>
const data=JSON.parse(document.getElementById('data').textContent);
const [policy,layer,text,count]=['policy','layer','text','count'].map(id=>document.getElementById(id));
for(const [i,r] of data.retention.entries())policy.add(new Option(r.policy+' '+r.budget,i));
const layers=data.retention[0]?.heads.length??0;layer.add(new Option('all','all'));
for(let l=0;l<layers;l++)layer.add(new Option(l,l));
function show(){const r=data.retention[policy.value];if(!r)return;text.replaceChildren();
const rows=layer.value==='all'?r.heads:[r.heads[layer.value]];const most=rows.length*data.kvHeads;let kept=0;
data.tokens.forEach((token,i)=>{const n=rows.reduce((s,row)=>s+(row[i]??0),0);kept+=n;const span=document.createElement('span');
span.textContent=token;span.style.setProperty('--kept',n/most);span.title=n+' of '+most+' heads';text.append(span)});
count.textContent=kept+' of '+data.tokens.length*most+' entries kept'}
policy.onchange=layer.onchange=show;show();
</script></body></html>
`;
}
