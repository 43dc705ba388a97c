import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readRun } from '@kvsift/eval';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const cli = fileURLToPath(new URL('../dist/cli.js', import.meta.url));

let folder = '';
beforeEach(async () => {
  if (!existsSync(cli)) throw new Error('these tests run the built command: npm run build first');
  folder = await mkdtemp(join(tmpdir(), 'kvsift-eval-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function start(...args: readonly string[]) {
  return startIn(folder, ...args);
}

function startIn(cwd: string, ...args: readonly string[]) {
  const child = spawn(process.execPath, [cli, ...args], { cwd });
  let out = '';
  let err = '';
  child.stdout.on('data', (data: Buffer) => {
    out += data;
  });
  child.stderr.on('data', (data: Buffer) => {
    err += data;
  });
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, out, err }));
  });
  return { child, ended };
}

const flags = ['--model', 'demo', '--policy', 'snapkv(window=16)', '--policy', 'random', '--budget', '20%', '--suite', 'facts'];
const run = (out: string, limit = 4) => ['eval', 'run', ...flags, '--limit', `${limit}`, '--out', out];

/** Waits until a process has said something on standard error. */
function said(child: ChildProcess, text: string): Promise<void> {
  let all = '';
  return new Promise((resolve, reject) => {
    child.stderr?.on('data', (data: Buffer) => {
      all += data;
      if (all.includes(text)) resolve();
    });
    child.on('close', () => reject(new Error(`ended before it said "${text}": ${all}`)));
  });
}

/** Results without what time decides. */
async function lasting(out: string) {
  const { results } = await readRun(join(folder, out));
  return results
    .map(({ prefillSeconds: _prefill, firstTokenSeconds: _first, decodeSeconds: _decode, ...rest }) => JSON.stringify(rest))
    .sort();
}

async function stored(out: string): Promise<number> {
  return (await stat(join(folder, out, 'results.jsonl')).catch(() => ({ size: 0 }))).size;
}

/** Waits until something more is stored, or the process has ended. */
async function untilStored(out: string, more: number, ended: Promise<unknown>): Promise<void> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  while (!over && (await stored(out)) <= more) await setTimeout(5);
}

describe('kvsift eval', () => {
  it('ends with the same results when it is killed ten times at random instants', async () => {
    // Enough samples that ten lives cannot finish them.
    const [limit, total] = [20, 60];
    expect((await start(...run('whole', limit)).ended).code).toBe(0);
    let kills = 0;
    for (let round = 0; kills < 10; round++) {
      expect(round).toBeLessThan(40);
      const { child, ended } = start(...(round === 0 ? run('killed', limit) : ['eval', 'resume', 'killed']));
      // Every other time in the middle of the work, else anywhere from the start of the process on.
      if (round % 2 === 0) await untilStored('killed', await stored('killed'), ended);
      await setTimeout(Math.random() * 300);
      if (child.exitCode === null && child.kill('SIGKILL')) kills += 1;
      await ended;
    }
    const before = (await lasting('killed')).length;
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(total);
    const { code, out } = await start('eval', 'resume', 'killed', '--json').ended;
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ outcome: { done: total, total, interrupted: false } });
    expect(await lasting('killed')).toEqual(await lasting('whole'));
  }, 480_000);

  it('shares one reading among policies with --share-prefill, when it goes on, too', async () => {
    expect((await start(...run('alone', 2)).ended).code).toBe(0);
    expect((await start(...run('shared', 1), '--share-prefill').ended).code).toBe(0);
    const more = await readFile(join(folder, 'shared/run.yaml'), 'utf8');
    await writeFile(join(folder, 'more.yaml'), more.replace('limit: 1', 'limit: 2'));
    expect((await start('eval', 'run', 'more.yaml', '--out', 'shared', '--mix').ended).code).toBe(0);
    // What a reading leaves of a long prompt to the full cache has no room for the answer.
    const nameless = (lines: readonly string[]) =>
      lines.map((line) => {
        const result = JSON.parse(line) as { readonly policy: string };
        return JSON.stringify({ ...result, manifest: '', ...(result.policy === 'full' && { cacheBytes: 0 }) });
      });
    expect(nameless(await lasting('shared')).sort()).toEqual(nameless(await lasting('alone')).sort());
    const { results } = await readRun(join(folder, 'shared'));
    expect(new Set(results.map(({ prefillSeconds }) => prefillSeconds)).size).toBe(2);
    expect((await start('report', 'shared', '--mix').ended).out).toContain('policies shared one reading of each prompt');
  }, 60_000);

  it('finishes the sample in flight at Ctrl-C, says how to go on, and goes on', async () => {
    const { child, ended } = start(...run('stopped'));
    await untilStored('stopped', 0, ended);
    child.kill('SIGINT');
    const { code, out } = await ended;
    expect(code).toBe(4);
    expect(out).toContain('kvsift eval resume stopped');
    const lines = (await readFile(join(folder, 'stopped/results.jsonl'), 'utf8')).split('\n');
    for (const line of lines.slice(0, -1)) JSON.parse(line);
    expect(lines.at(-1)).toBe('');
    const again = await start('eval', 'resume', 'stopped').ended;
    expect(again.code).toBe(0);
    expect(again.out).toContain('12 of 12 results');
  }, 120_000);

  it('stops soon at Ctrl-C while samples are still planned, and at once at the second', async () => {
    const planned = async (name: string, length: number) => {
      const suite = `{ suite: ruler, tasks: [niah_multikey_3], options: { length: ${length} } }`;
      const settings = `{ models: [demo], policies: [random], budgets: [50%], suites: [${suite}] }`;
      await writeFile(join(folder, `${name}.yaml`), settings);
      const started = start('eval', 'run', `${name}.yaml`, '--out', name);
      await said(started.child, 'looking at models and samples');
      await setTimeout(500);
      started.child.kill('SIGINT');
      return started;
    };
    // 500 samples, which take many seconds.
    const before = performance.now();
    const { code, err } = await (await planned('many', 16_384)).ended;
    expect([code, err]).toEqual([4, expect.stringContaining('error: stopped before the first sample')]);
    expect(performance.now() - before).toBeLessThan(10_000);
    // One sample, which takes seconds to find its size.
    const long = await planned('long', 3_000_000);
    const asked = performance.now();
    await said(long.child, 'once more to stop at once');
    long.child.kill('SIGINT');
    const ended = await long.ended;
    expect([ended.code, ended.err]).toEqual([4, expect.not.stringContaining('stopped before')]);
    expect(performance.now() - asked).toBeLessThan(5000);
  }, 60_000);

  it('writes a run file that runs as it is, and reports of it', async () => {
    expect((await start('eval', 'init', 'run.yaml').ended).code).toBe(0);
    expect((await start('eval', 'init', 'run.yaml').ended).code).toBe(2);
    const ran = await start('eval', 'run', 'run.yaml', '--suite', 'facts', '--limit', '1', '--out', 'first').ended;
    expect(ran.err).not.toContain('error');
    expect(ran.code).toBe(0);
    for (const [format, text] of [
      ['markdown', '| policy |'],
      ['csv', 'model,suite,task,policy'],
      ['latex', '\\toprule'],
      ['terminal', 'streaming-llm'],
    ]) {
      expect((await start('report', 'first', '--format', format ?? '').ended).out).toContain(text);
    }
    await start('report', 'first', '--html', 'first.html').ended;
    expect(await readFile(join(folder, 'first.html'), 'utf8')).toContain('<!doctype html>');
    await symlink('first.html', join(folder, 'latest.html'));
    await writeFile(join(folder, 'first.html'), '');
    await start('report', 'first', '--html', 'latest.html').ended;
    expect(await readFile(join(folder, 'first.html'), 'utf8')).toContain('<!doctype html>');
    expect((await lstat(join(folder, 'latest.html'))).isSymbolicLink()).toBe(true);
  }, 120_000);

  it('holds --limit and --task to the suites of a file, and refuses a task that there is not', async () => {
    await writeFile(
      join(folder, 'two.yaml'),
      'models: [demo]\npolicies: [random]\nbudgets: [20%, 20.0%]\nsuites: [{ suite: facts, limit: 5, options: { lengths: [256, 512] } }]\n',
    );
    const one = await start('eval', 'run', 'two.yaml', '--limit', '1', '--task', 'facts-512', '--out', 'one').ended;
    expect(one.code, one.err).toBe(0);
    expect(one.out).toContain('2 of 2 results');
    for (const given of [['two.yaml'], flags]) {
      const none = await start('eval', 'run', ...given, '--task', 'nosuch', '--out', 'none').ended;
      expect(none.err).toMatch(/expected a task of facts \(facts-\d+.*\), got "nosuch"/);
      expect([none.code, await stored('none')]).toEqual([3, 0]);
    }
  }, 60_000);

  it.skipIf(spawnSync('redis-server', ['--version']).error)(
    'says at Ctrl-C how to go on with a shared run',
    async () => {
      const port = 20_000 + (process.pid % 20_000);
      const redis = spawn('redis-server', ['--port', `${port}`, '--bind', '127.0.0.1', '--save', ''], { cwd: folder });
      try {
        await new Promise<void>((resolve) => redis.stdout.on('data', (text) => /Ready to accept/.test(`${text}`) && resolve()));
        const url = `redis://127.0.0.1:${port}`;
        const { child, ended } = start(...run('shared'), '--redis', url);
        await new Promise<void>((resolve) => child.stderr.on('data', (text) => /samples to run/.test(`${text}`) && resolve()));
        await setTimeout(500);
        child.kill('SIGINT');
        const { code, out, err } = await ended;
        expect([code, err]).toEqual([4, expect.not.stringContaining('error')]);
        expect(out).toContain(
          `0 of 12 results in shared; its workers go on; continue with: kvsift eval resume shared --redis ${url}`,
        );
      } finally {
        redis.kill();
      }
    },
    60_000,
  );

  it('stores samples that fail, and ends with code 1', async () => {
    const { code, out } = await start(
      'eval',
      'run',
      ...flags.slice(0, 2),
      '--policy',
      'snapkv(window=64)',
      '--budget',
      '8',
      '--suite',
      'facts',
      '--limit',
      '1',
      '--out',
      'failing',
    ).ended;
    expect(code).toBe(1);
    expect(out).toContain('1 samples');
    expect(out).toContain(
      '1 result is an error, budget_invalid (facts facts-1024, sample 42, snapkv(window=64) 8): snapkv protects',
    );
    expect(out).toContain('eval resume failing --retry-failed');
    const again = await start('eval', 'resume', 'failing', '--retry-failed').ended;
    expect(again.err).toContain('1 of 2 results are stored already\n1 samples to run');
    expect((await start('eval', 'resume', 'failing').ended).err).toContain('1 of them errors, which --retry-failed runs again');
  }, 60_000);

  it('reports runs together that have the full cache in common', async () => {
    const short = (policy: string, out: string) =>
      start(
        ...['eval', 'run', '--model', 'demo', '--policy', policy, '--budget', '20%'],
        ...['--suite', 'facts', '--limit', '1', '--out', out],
      ).ended;
    await short('snapkv', 'one');
    await short('random', 'two');
    const { code, out } = await start('report', 'one', 'two', '--json').ended;
    expect(code).toBe(0);
    const { rows } = JSON.parse(out) as { rows: { label: string; n: number }[] };
    expect(rows.map(({ label, n }) => [label, n])).toEqual([
      ['full', 1],
      ['snapkv', 1],
      ['random', 1],
    ]);
    expect((await start('report', 'one', 'two').ended).out).toMatch(/Manifest [0-9a-f]{12}: demo on facts, cpu backend/);
  }, 60_000);

  it("continues from any folder, and shows the suites' own numbers", async () => {
    await mkdir(join(folder, 'data/elsewhere'), { recursive: true });
    const rows = [100, 5000].map((length, index) => {
      const row = { input: 'Who?', context: 'Ann.', answers: ['Ann'], length, dataset: 'hotpotqa', language: 'en' };
      return JSON.stringify({ ...row, all_classes: null, _id: `${index}` });
    });
    await writeFile(join(folder, 'data/hotpotqa_e.jsonl'), rows.join('\n'));
    const suite = '{ suite: longbench-e, tasks: [hotpotqa], options: { folder: data } }';
    const random = fileURLToPath(new URL('../../../packages/policy-random/dist/index.js', import.meta.url));
    const wrapped = `import { random } from '${random}';
      const definition = { ...random.definition, name: 'mine' };
      export const mine = Object.assign((options) => ({ ...random(options), name: 'mine' }), { definition });`;
    await writeFile(join(folder, 'data/mine.mjs'), wrapped);
    await writeFile(
      join(folder, 'run.yaml'),
      `{ models: [demo], policies: [./data/mine.mjs], budgets: [50%], suites: [${suite}] }`,
    );
    expect((await start('eval', 'run', 'run.yaml', '--out', 'own').ended).code).toBe(0);
    const { code, out } = await start('report', 'own', '--format', 'markdown').ended;
    expect(code).toBe(0);
    expect(out).toMatch(/longbench-e as the suite reports it.*\n\n\| task \| policy \| budget \| 0-4k \| 4-8k \| 8k\+ \| n \|/);
    const { suites } = JSON.parse((await start('report', 'own', '--json').ended).out) as { suites: { metrics: object }[] };
    expect(suites[0]?.metrics).toMatchObject({ n: 2, '8k+': null });
    const elsewhere = await startIn(join(folder, 'data/elsewhere'), 'eval', 'resume', '../../own').ended;
    expect([elsewhere.code, elsewhere.err]).toEqual([0, expect.stringContaining('4 of 4 results are stored already')]);
    expect(new Set((await readRun(join(folder, 'own'))).results.map(({ label }) => label))).toEqual(new Set(['full', 'mine']));
  }, 60_000);
});
