// Brings a clone to the state in which commands run: dependencies installed, everything built. Does only what has changed.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const stamps = join(root, 'node_modules/.cache/kvsift');

/** Runs a command in the root and stops the process where it fails. */
export function run(title, command, args, env = {}) {
  console.log(`> ${title}`);
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', npm_config_loglevel: 'error', ...env },
  });
  if (status === 0) return;
  console.error(`${title} failed${error ? `: ${error.message}` : ` with exit code ${status}`}: ${command} ${args.join(' ')}`);
  process.exit(status ?? 1);
}

/** Runs the pnpm that package.json names. */
export function pnpm(title, ...args) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  run(title, 'npx', ['--yes', packageManager, ...args]);
}

const skipped = new Set(['node_modules', 'dist', 'build', '.turbo', '.git', '.cache', 'build-sanitize', 'coverage']);

/** Hash of names, sizes and times of the files below some folders. */
function fingerprint(folders, wanted) {
  const hash = createHash('sha256');
  const walk = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (skipped.has(entry.name) || entry.name.startsWith('build-')) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (wanted(entry.name)) {
        const { size, mtimeMs } = statSync(path);
        hash.update(`${path} ${size} ${mtimeMs}\n`);
      }
    }
  };
  for (const folder of folders) if (existsSync(join(root, folder))) walk(join(root, folder));
  return hash.digest('hex');
}

/** Runs `work` where the fingerprint differs from the one of the last success. */
function whenChanged(name, value, work) {
  const path = join(stamps, name);
  if (existsSync(path) && readFileSync(path, 'utf8') === value) return;
  work();
  mkdirSync(stamps, { recursive: true });
  writeFileSync(path, value);
}

const groups = ['packages', 'native', 'apps', 'tools', 'examples'];

export function install() {
  const manifests = fingerprint(groups, (name) => name === 'package.json');
  const lock = readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8') + readFileSync(join(root, 'pnpm-workspace.yaml'), 'utf8');
  whenChanged('install', createHash('sha256').update(manifests + lock).digest('hex'), () =>
    pnpm('Installing dependencies', 'install', '--frozen-lockfile', '--prefer-offline', '--reporter=append-only', '--loglevel=error'),
  );
}

export function build() {
  const sources = fingerprint(groups, (name) => !name.endsWith('.test.ts') && !name.endsWith('.md') && !name.endsWith('.tsbuildinfo'));
  whenChanged('build', sources, () =>
    run('Building all packages (the native backend takes a minute or two the first time)', 'npx', ['turbo', 'run', 'build', '--output-logs=errors-only']),
  );
}
