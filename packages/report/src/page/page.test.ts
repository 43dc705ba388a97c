import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Manifest, type Result, summarize } from '@kvsift/eval';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReportData } from '../combine.js';
import { bytesChart } from './charts.js';
import { drawPage } from './page.js';
import { explorerData } from './payload.js';

const injection = '</script><script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">\u2028&amp;';

const manifest: Manifest = {
  ...{ kvsift: '1', commit: 'abc', node: '20', machine: { cpu: injection }, model: {}, question: 'aware', chat: false, seed: 1 },
  suite: { name: 'facts', tasks: ['t'], profile: 'p', options: {}, promptTokens: null, samples: '', stops: [] },
  leftOut: [{ task: 't', message: `rows.jsonl, line 3: ${injection}` }],
};

const result = (policy: string, budget: string, sample: number, score: number | null): Result => ({
  ...{ manifest: 'm1', model: `demo${injection}`, policy, label: policy, budget, suite: 'facts', task: 't', sample: `${sample}` },
  ...{
    score,
    prediction: `${injection} ${sample}`,
    expected: ['4821'],
    meta: { length: 100 * (1 + (sample % 2)), depth: 25 * (sample % 4) },
  },
  prompt: { start: `start ${injection}`, end: 'end', characters: 5000 },
  ...{ contextTokens: 4, generatedTokens: 5, decodedTokens: 4, cacheBytes: policy === 'full' ? 4096 : 1024 },
  ...{ prefillSeconds: 0.1 + sample / 100, decodeSeconds: 0.01, finishReason: 'eos' },
});

const cells = [
  ['full', '100%'],
  ['snapkv', '20%'],
  ['snapkv', '5%'],
  [`evil${injection}`, '20%'],
] as const;
const data: ReportData = {
  results: cells.flatMap(([policy, budget], cell) =>
    Array.from({ length: 8 }, (_, sample) => result(policy, budget, sample, sample < 8 - 2 * cell ? 1 : 0)),
  ),
  manifests: new Map([['m1', manifest]]),
  suites: [
    {
      ...{ model: 'demo', suite: 'facts', task: 't', policy: 'snapkv', label: `snapkv${injection}`, budget: '20%', profile: 'p' },
      metrics: { '4-8k': 66.67 },
    },
  ],
  retentions: cells.slice(1).map(([policy, budget], cell) => ({
    key: { manifest: 'm1', model: `demo${injection}`, policy, budget, suite: 'facts', task: 't', sample: '0' },
    retention: {
      kvHeads: 2,
      tokens: ['The', ' code', injection, ' 4821'],
      layers: [
        [2, 0, 1, 2],
        [cell % 3, 0, 0, 2],
      ],
    },
  })),
};

describe('drawPage', () => {
  const page = drawPage(data, `run ${injection}`);

  it('loads nothing and lets no other script run', () => {
    expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(page.match(/<script/g)).toHaveLength(2);
    expect(page).toContain('default-src &#39;none&#39;');
  });

  it('lets no model output become markup', () => {
    expect(page).not.toContain('<img');
    expect(page).not.toContain('document.title="owned"<');
  });

  it('makes a page of no results at all', () => {
    expect(drawPage({ results: [], manifests: new Map(), retentions: [], suites: [] }, 'empty')).toContain('0 results');
  });

  it("shows the suites' own numbers and what was left out", () => {
    expect(page).toContain('facts as the suite reports it, profile p');
    expect(page).toContain('66.67');
    expect(page).toContain(`rows.jsonl, line 3`);
  });

  it('carries contexts of any length', () => {
    const tokens = Array.from({ length: 130_048 }, () => 'a');
    const [first] = data.retentions;
    if (first === undefined) throw new Error('no retention');
    const long = { ...first, retention: { kvHeads: 2, tokens, layers: [tokens.map((_, index) => index % 3)] } };
    const { retentions } = explorerData({ ...data, retentions: [long] }, []);
    expect(retentions[0]?.layers[0]?.slice(-4)).toBe('0120');
    expect(retentions[0]?.layers[0]).toHaveLength(130_048);
  });

  it('takes failures evenly from all policies and budgets where there are too many, and says so', () => {
    const many = {
      ...data,
      results: cells.flatMap(([policy, budget]) => Array.from({ length: 600 }, (_, sample) => result(policy, budget, sample, 0))),
    };
    const { failures, failed } = explorerData(many, []);
    expect([failures.length, failed]).toEqual([1000, 2400]);
    expect(failures.filter(({ cell }) => cell === 'snapkv 5%')).toHaveLength(250);
    expect(drawPage(many, 'many')).toContain('1000 of 2400 answers below a full score');
    expect(page).toContain('12 answers below a full score.');
  });

  it('leaves room between points and the axes for their names', () => {
    const results = data.results.map((one) => ({ ...one, score: one.policy === 'full' ? 1 : 0 }));
    const chart = bytesChart(summarize(results)).markup;
    const heights = [...chart.matchAll(/cy="([\d.]+)"/g)].map(([, y]) => Number(y));
    const height = Number(/height="(\d+)"/.exec(chart)?.[1]);
    // Behind the margins of Plot: 20 above, 42 below.
    expect(Math.min(...heights)).toBeGreaterThan(20 + 15);
    expect(Math.max(...heights)).toBeLessThan(height - 42 - 15);
  });

  it('names the model of a failure where there are several', () => {
    const other = data.results.map((one) => ({ ...one, model: 'other' }));
    const tasks = ({ results }: ReportData) => new Set(explorerData({ ...data, results }, []).failures.map(({ task }) => task));
    expect(tasks(data)).toEqual(new Set(['facts t']));
    expect(tasks({ ...data, results: [...data.results, ...other] })).toEqual(
      new Set([`demo${injection} · facts t`, 'other · facts t']),
    );
  });

  it('keeps manifests apart that have samples in common', () => {
    const twice = { ...data, results: [...data.results, ...data.results.map((one) => ({ ...one, manifest: 'm2' }))] };
    const both = drawPage(twice, 'both');
    expect(both).toContain('facts t, manifest m1</h2>');
    expect(both).toContain('facts t, manifest m2</h2>');
    expect(explorerData(twice, summarize(twice.results)).retentions[0]?.name).toContain(', manifest m1');
  });
});

const executablePath = [
  process.env.KVSIFT_CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path !== undefined && existsSync(path));
if (executablePath === undefined) {
  console.warn('left out: the report in a browser. To run it: apt-get install chromium, or set KVSIFT_CHROMIUM to a Chromium');
}

describe.skipIf(executablePath === undefined)('in a browser', () => {
  let browser: Browser;
  let folder = '';
  let page: Page;
  const problems: string[] = [];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvsift-page-'));
    await writeFile(join(folder, 'report.html'), drawPage(data, 'a run'));
    browser = await chromium.launch({ executablePath: executablePath ?? '', args: ['--no-sandbox'] });
    page = await browser.newPage();
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('request', (request) => request.url().startsWith('file:') || problems.push(`asked for ${request.url()}`));
    await page.goto(pathToFileURL(join(folder, 'report.html')).href);
  });
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('runs without an error, a request or an injected script', async () => {
    expect(await page.title()).toBe('a run');
    expect(problems).toEqual([]);
  });

  it('colours tokens by the heads that kept them, for the policy and layer chosen', async () => {
    const kept = () =>
      page.locator('#text span').evaluateAll((spans) =>
        spans.map((span) =>
          span
            .getAttribute('title')
            ?.match(/by (\d+) of (\d+)/)
            ?.slice(1)
            .join('/'),
        ),
      );
    await page.selectOption('#cell', 'snapkv 20%');
    expect(await kept()).toEqual(['2/4', '0/4', '1/4', '4/4']);
    expect(await page.textContent('#count')).toContain('7 of 16 entries');
    await page.selectOption('#layer', '1');
    expect(await kept()).toEqual(['0/2', '0/2', '0/2', '2/2']);
    await page.selectOption('#cell', 'snapkv 5%');
    expect(await kept()).toEqual(['1/2', '0/2', '0/2', '2/2']);
    expect(await page.locator('#text span').nth(2).textContent()).toBe(injection);
    expect(await page.locator('#picture').evaluate((canvas) => (canvas as unknown as { width: number }).width)).toBe(4);
  });

  it('shows failures with prompt, answer and expectation, and filters them', async () => {
    expect(await page.locator('#failures details').count()).toBe(2 + 4 + 6);
    await page.selectOption('#failing', 'snapkv 20%');
    expect(await page.locator('#failures details').count()).toBe(2);
    await page.locator('#failures summary').first().click();
    const open = page.locator('#failures details[open]');
    expect(await open.textContent()).toContain(injection);
    expect(await open.textContent()).toContain('4821');
  });

  it.each(['light', 'dark'] as const)('has ink that stands out from the page in %s', async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    const brightness = (property: string) =>
      page.locator('body').evaluate((body, name) => {
        const [red = 0, green = 0, blue = 0] = (
          getComputedStyle(body)
            .getPropertyValue(name)
            .match(/[\d.]+/g) ?? []
        ).map(Number);
        return 0.299 * red + 0.587 * green + 0.114 * blue;
      }, property);
    const [ink, paper] = [await brightness('color'), await brightness('background-color')];
    expect(Math.abs(ink - paper)).toBeGreaterThan(150);
    expect(paper > ink).toBe(colorScheme === 'light');
  });

  it('cuts no label of a chart', async () => {
    const cut = await page.locator('svg text').evaluateAll((texts) =>
      texts
        .filter((text) => {
          const [own, whole] = [text.getBoundingClientRect(), text.closest('svg')?.getBoundingClientRect()];
          return whole !== undefined && (own.left < whole.left - 1 || own.right > whole.right + 1);
        })
        .map(({ textContent }) => textContent),
    );
    expect(cut).toEqual([]);
  });

  it('lets the keyboard reach what scrolls sideways', async () => {
    const beyond = await page
      .locator('.scroll')
      .evaluateAll((parts) => parts.filter((part) => (part as HTMLElement).tabIndex < 0).length);
    expect(beyond).toBe(0);
  });

  it.each([360, 1400])('does not scroll sideways at %d pixels', async (width) => {
    await page.setViewportSize({ width, height: 800 });
    expect(await page.locator('html').evaluate((root) => root.scrollWidth)).toBeLessThanOrEqual(width);
  });
});
