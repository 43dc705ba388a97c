import type { Retention } from './retention.js';

/** One bit per token, base64. */
function bits(positions: Int32Array, length: number): string {
  const bytes = new Uint8Array(Math.ceil(length / 8));
  for (const position of positions) bytes[position >> 3] = (bytes[position >> 3] ?? 0) | (1 << (position & 7));
  return Buffer.from(bytes).toString('base64');
}

const escapeText = (text: string) =>
  text.replace(/[&<>]/g, (letter) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[letter] ?? letter);

/** A page of its own: the prompt's text, shaded by the share of heads that kept each token, for all layers or one layer and head. */
export function retentionPage({ tokens, kept }: Retention, title: string): string {
  const data = JSON.stringify(kept.map((heads) => heads.map((positions) => bits(positions, tokens.length))));
  const heads = kept[0]?.length ?? 0;
  const options = (name: string, count: number) =>
    `<option value="-1">all ${name}s</option>${Array.from({ length: count }, (_, index) => `<option value="${index}">${name} ${index}</option>`).join('')}`;
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeText(title)}</title>
<style>
:root{color-scheme:light dark}
body{font:16px/1.7 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff;overflow-wrap:anywhere}
h1{font-size:1.5rem}
#text{white-space:pre-wrap}#text span{border-radius:2px}
select{font:inherit;margin-right:1rem;max-width:100%}
@media(prefers-color-scheme:dark){body{color:#eee;background:#111}}
</style>
<h1>${escapeText(title)}</h1>
<p><select id="layer" aria-label="layer">${options('layer', kept.length)}</select><select id="head" aria-label="KV head">${options('head', heads)}</select> <span id="count"></span></p>
<p id="text">${tokens.map((token) => `<span>${escapeText(token)}</span>`).join('')}</p>
<script>
const kept=${data}.map(l=>l.map(h=>Uint8Array.from(atob(h),c=>c.charCodeAt(0))));
const spans=document.querySelectorAll('#text span'),layer=document.querySelector('#layer'),head=document.querySelector('#head');
function show(){
  const layers=+layer.value<0?kept:[kept[+layer.value]],rows=layers.flatMap(l=>+head.value<0?l:[l[+head.value]]);
  let total=0;
  spans.forEach((span,i)=>{
    const share=rows.reduce((sum,row)=>sum+(row[i>>3]>>(i&7)&1),0)/rows.length;
    total+=share;
    span.style.background='rgba(66,133,244,'+(share*0.6).toFixed(3)+')';
    span.style.opacity=(0.6+0.4*share).toFixed(3);
    span.title='token '+i+': kept by '+Math.round(100*share)+' % of the heads';
  });
  document.querySelector('#count').textContent=total.toFixed(1)+' of '+spans.length+' tokens per head';
}
layer.onchange=head.onchange=show;show();
</script>
</html>
`;
}
