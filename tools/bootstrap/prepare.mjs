// Brings a clone to the state in which commands run: dependencies installed, everything built. Does only what has changed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Where stamps and counts are kept between commands. */
export const cacheFolder = join(root, 'node_modules/.cache/kvsift');

/** Folders whose children are packages. */
const groups = ['packages', 'native', 'apps', 'tools', 'examples'];

/** Runs a command in the root and stops the process where it fails. */
export function run(title, command, args, env = {}) {
  const status = attempt(title, command, args, env);
  if (status !== 0) process.exit(status);
}

/** Runs a command in the root; its exit code, 0 where it went well. */
export function attempt(title, command, args, env = {}) {
  console.log(`> ${title}`);
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', npm_config_loglevel: 'error', ...env },
  });
  if (status === 0) return 0;
  const how = error?.message ?? (signal ? `stopped by ${signal}` : `exit code ${status}`);
  console.error(`> ${title} failed (${how}): ${command} ${args.join(' ')}`);
  return status ?? 1;
}

/** Arguments of npx that run the pnpm which package.json names: it need not be installed. */
export function pnpmArguments(...args) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return ['--yes', packageManager, ...args];
}

/** Installs dependencies where a package.json or the lock file has changed. */
export function install() {
  const manifests = fingerprint((name) => name === 'package.json');
  const lock = ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json'].map((name) => readFileSync(join(root, name), 'utf8'));
  whenChanged('install', hashOf([manifests, ...lock]), () =>
    run('Installing dependencies', 'npx', [
      ...pnpmArguments('install', '--frozen-lockfile', '--prefer-offline'),
      ...['--reporter=append-only', '--loglevel=error'],
    ]),
  );
}

/** Builds every package where a source file has changed. Turbo skips the packages that have not. */
export function build() {
  const sources = fingerprint((name) => !/\.(test(-d|\.fixture)?\.ts|md|tsbuildinfo)$/.test(name));
  const work = () =>
    run('Building all packages (the native backend takes a minute or two the first time)', 'npx', [
      ...pnpmArguments('exec', 'turbo', 'run', 'build', '--output-logs=errors-only'),
    ]);
  whenChanged('build', sources, work, ['apps/runner/dist/cli.js', 'native/cpu/build/Release/kvsift-cpu.node']);
}

/** Runs `work` where the fingerprint differs from the one of the last success, or what it makes is not there. */
function whenChanged(name, value, work, products = []) {
  const path = join(cacheFolder, name);
  const there = products.every((product) => existsSync(join(root, product)));
  if (there && existsSync(path) && readFileSync(path, 'utf8') === value) return;
  work();
  mkdirSync(cacheFolder, { recursive: true });
  writeFileSync(path, value);
}

const generated = new Set(['node_modules', 'dist', 'coverage', '.turbo', '.venv', '__pycache__']);

/** Hash of names, sizes and times of the files of all packages. */
function fingerprint(wanted) {
  const facts = [];
  const walk = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (!generated.has(entry.name) && !/^build(-|$)/.test(entry.name)) walk(path);
      } else if (wanted(entry.name)) {
        const { size, mtimeMs } = statSync(path);
        facts.push(`${path} ${size} ${mtimeMs}`);
      }
    }
  };
  for (const group of groups) if (existsSync(join(root, group))) walk(join(root, group));
  return hashOf(facts.sort());
}

function hashOf(parts) {
  return createHash('sha256').update(parts.join('\n')).digest('hex');
}
