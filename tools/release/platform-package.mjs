#!/usr/bin/env node
// Makes the package with the prebuilt binary of this machine: node tools/release/platform-package.mjs <folder>. The release job runs it on every platform,
// publishes the results, and lists them as optional dependencies of @kvsift/backend-cpu: so that installing compiles nothing.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const file = 'kvsift-cpu.node';

/** "linux-x64-gnu": as the loader of @kvsift/backend-cpu names it. */
function platform() {
  const { platform: os, arch } = process;
  if (os !== 'linux') return { name: `${os}-${arch}` };
  const libc = process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
  return { name: `${os}-${arch}-${libc === 'musl' ? 'musl' : 'gnu'}`, libc };
}

/** Writes the package into a folder of its own below `target` and returns that folder. */
export function platformPackage(target) {
  const binary = join(root, 'native/cpu/build/Release', file);
  if (!existsSync(binary)) throw new Error(`expected ${binary}: build the native part first`);
  const { version, license, engines, repository } = JSON.parse(readFileSync(join(root, 'native/cpu/package.json'), 'utf8'));
  const { name, libc } = platform();
  const manifest = {
    name: `@kvsift/backend-cpu-${name}`,
    ...{ version, description: `Prebuilt native part of @kvsift/backend-cpu for ${name}.`, license, repository, engines },
    os: [process.platform],
    cpu: [process.arch],
    ...(libc && { libc: [libc] }),
    exports: { [`./${file}`]: `./${file}`, './package.json': './package.json' },
    files: [file],
    preferUnplugged: true,
    publishConfig: { access: 'public', provenance: true },
  };
  const folder = join(target, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  writeFileSync(
    join(folder, 'README.md'),
    `# ${manifest.name}\n\n${manifest.description} Installed by itself; there is nothing to import.\n`,
  );
  copyFileSync(binary, join(folder, file));
  return folder;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [target] = process.argv.slice(2);
  if (target === undefined) {
    console.error('usage: node tools/release/platform-package.mjs <folder>');
    process.exit(2);
  }
  console.log(platformPackage(target));
}
