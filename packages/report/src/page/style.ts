/** Style of the page: no fonts or images from elsewhere; follows light and dark, narrow and wide. */
export const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --page: #fff; --panel: #f6f8fa; --line: #d0d7de; --full: #57606a;
  --s1: #2166ac; --s2: #d6604d; --s3: #1a9850; --s4: #984ea3; --s5: #b8860b; --s6: #4d4d4d; --heat: #2166ac; --on-heat: #fff; --kept: 33 102 172; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9da7b3; --page: #0d1117; --panel: #161b22; --line: #30363d; --full: #9da7b3;
  --s1: #6cb6ff; --s2: #ff9b85; --s3: #57d38c; --s4: #d2a8ff; --s5: #e3b341; --s6: #b1bac4; --heat: #6cb6ff; --on-heat: #0d1117; --kept: 108 182 255; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(0.75rem, 3vw, 2.5rem) 4rem; max-width: 72rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 0.25rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 0.5rem; } h3 { font-size: 1rem; margin: 1.5rem 0 0.25rem; }
p { margin: 0.25rem 0 0.75rem; } .soft, figcaption { color: var(--soft); font-size: 0.875rem; }
.scroll { overflow-x: auto; } figure { margin: 0.5rem 0 1rem; } figure svg { max-width: none; height: auto; font: 12px system-ui, sans-serif; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.875rem; } caption { text-align: left; color: var(--soft); }
th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; } th.right, td.right { text-align: right; }
tbody tr:hover { background: var(--panel); }
.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; font-size: 0.875rem; padding: 0; list-style: none; } .legend i { display: inline-block; width: 0.75rem; height: 0.75rem;
  border-radius: 50%; margin-right: 0.35rem; }
.controls { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: end; margin: 0.5rem 0; } .controls label { display: grid; grid-template-columns: minmax(0, 1fr); min-width: 0; max-width: 100%; font-size: 0.8rem; color: var(--soft); }
select, input { font: inherit; color: var(--ink); background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 0.25rem 0.5rem; max-width: 100%; }
.text, pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 0.75rem; margin: 0.5rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.text { font: 0.875rem/1.9 ui-monospace, monospace; max-height: 32rem; overflow-y: auto; } .text span { border-radius: 3px; padding: 2px 0; }
pre { font: 0.8rem/1.5 ui-monospace, monospace; max-height: 16rem; overflow: auto; }
canvas { width: 100%; height: auto; image-rendering: pixelated; border: 1px solid var(--line); border-radius: 6px; display: block; }
details { border-bottom: 1px solid var(--line); padding: 0.4rem 0; } summary { cursor: pointer; } .bad { color: var(--bad); }
@media (max-width: 40rem) { body { font-size: 15px; } th, td { padding: 0.3rem 0.4rem; } }
`;
