/// <reference lib="dom" />

/** A stored picture of which tokens each layer kept. Heads are digits: the character code minus 48. */
export interface ExplorerRetention {
  readonly name: string;
  readonly sample: string;
  readonly kvHeads: number;
  /** Index into `texts`. */
  readonly text: number;
  readonly layers: readonly string[];
}

export interface ExplorerFailure {
  readonly cell: string;
  readonly task: string;
  readonly sample: string;
  readonly prompt: string;
  readonly prediction: string;
  readonly expected: string;
  readonly note: string;
}

/** What the page's script works with. */
export interface ExplorerData {
  readonly texts: readonly (readonly string[])[];
  readonly retentions: readonly ExplorerRetention[];
  readonly failures: readonly ExplorerFailure[];
}

/** Runs in the browser; its source goes into the page. Everything from the data becomes text, never markup. */
export function explorer(): void {
  const find = <T extends Element>(selector: string, type: new () => T): T => {
    const found = document.querySelector(selector);
    if (!(found instanceof type)) throw new Error(`missing ${selector}`);
    return found;
  };
  const data = JSON.parse(find('#data', HTMLScriptElement).textContent ?? '{}') as ExplorerData;

  const fill = (select: HTMLSelectElement, names: readonly string[]) => {
    select.replaceChildren(
      ...names.map((name) => {
        const option = document.createElement('option');
        option.textContent = name;
        option.value = name;
        return option;
      }),
    );
  };
  const add = (parent: Element, tag: string, text: string, className = '') => {
    const element = document.createElement(tag);
    element.textContent = text;
    element.className = className;
    parent.append(element);
    return element;
  };

  if (data.retentions.length > 0) {
    const sample = find('#sample', HTMLSelectElement);
    const cell = find('#cell', HTMLSelectElement);
    const layer = find('#layer', HTMLSelectElement);
    const text = find('#text', HTMLDivElement);
    const picture = find('#picture', HTMLCanvasElement);
    const count = find('#count', HTMLParagraphElement);
    const heads = (row: string, token: number) => row.charCodeAt(token) - 48;

    const drawPicture = (shown: ExplorerRetention) => {
      const tokens = shown.layers[0]?.length ?? 0;
      picture.width = Math.max(1, tokens);
      picture.height = Math.max(1, shown.layers.length * 6);
      const context = picture.getContext('2d');
      if (context === null) return;
      const color = getComputedStyle(document.documentElement).getPropertyValue('--kept').trim();
      shown.layers.forEach((row, index) => {
        for (let token = 0; token < tokens; token++) {
          const share = heads(row, token) / shown.kvHeads;
          if (share === 0) continue;
          context.fillStyle = `rgb(${color} / ${share})`;
          context.fillRect(token, index * 6, 1, 5);
        }
      });
    };
    const drawText = () => {
      const shown = data.retentions.find((item) => item.sample === sample.value && item.name === cell.value);
      if (shown === undefined) return;
      if (layer.options.length !== shown.layers.length + 1) fill(layer, ['all', ...shown.layers.map((_, index) => `${index}`)]);
      const rows = layer.value === 'all' ? shown.layers : [shown.layers[Number(layer.value)] ?? ''];
      const most = rows.length * shown.kvHeads;
      let kept = 0;
      const tokens = data.texts[shown.text] ?? [];
      text.replaceChildren(
        ...tokens.map((token, index) => {
          const held = rows.reduce((sum, row) => sum + heads(row, index), 0);
          kept += held;
          const span = document.createElement('span');
          span.textContent = token;
          span.title = `token ${index}: kept by ${held} of ${most} heads`;
          span.style.backgroundColor = `rgb(var(--kept) / ${(0.7 * held) / most})`;
          return span;
        }),
      );
      const share = (100 * kept) / Math.max(1, tokens.length * most);
      count.textContent = `${kept} of ${tokens.length * most} entries kept (${share.toFixed(1)} %), ${tokens.length} tokens, ${rows.length} layers of ${shown.kvHeads} KV heads`;
      drawPicture(shown);
    };
    const drawCells = () => {
      const before = cell.value;
      const names = data.retentions.filter((item) => item.sample === sample.value).map(({ name }) => name);
      fill(cell, names);
      if (names.includes(before)) cell.value = before;
      drawText();
    };
    fill(sample, [...new Set(data.retentions.map((item) => item.sample))]);
    sample.addEventListener('change', drawCells);
    cell.addEventListener('change', drawText);
    layer.addEventListener('change', drawText);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawText);
    drawCells();
  }

  if (data.failures.length > 0) {
    const filter = find('#failing', HTMLSelectElement);
    const list = find('#failures', HTMLDivElement);
    const everything = 'all policies and budgets';
    const draw = () => {
      const shown = data.failures.filter((item) => filter.value === everything || item.cell === filter.value);
      list.replaceChildren();
      for (const item of shown.slice(0, 200)) {
        const details = document.createElement('details');
        add(details, 'summary', `${item.task} · ${item.sample} · ${item.cell}${item.note === '' ? '' : ` · ${item.note}`}`);
        add(details, 'p', 'prompt', 'soft');
        add(details, 'pre', item.prompt);
        add(details, 'p', 'answer', 'soft');
        add(details, 'pre', item.prediction, 'bad');
        add(details, 'p', 'expected', 'soft');
        add(details, 'pre', item.expected);
        list.append(details);
      }
      if (shown.length > 200) add(list, 'p', `and ${shown.length - 200} more`, 'soft');
    };
    fill(filter, [everything, ...new Set(data.failures.map((item) => item.cell))]);
    filter.addEventListener('change', draw);
    draw();
  }
}
