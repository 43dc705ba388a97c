#!/usr/bin/env node
// Puts the native part of this machine into its platform package, ready to be packed: npm/<platform>/kvsift-cpu.node.
// usage: node addon/prebuilt.mjs
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { header } = process.report.getReport();
const libc = process.platform === 'linux' ? `-${header.glibcVersionRuntime === undefined ? 'musl' : 'gnu'}` : '';
const platform = `${process.platform}-${process.arch}${libc}`;
const folder = join(root, 'npm', platform);
if (!existsSync(join(folder, 'package.json'))) {
  console.error(
    `There is no package for ${platform} in native/cpu/npm: copy the folder of another platform and change os, cpu and libc.`,
  );
  process.exit(1);
}
copyFileSync(join(root, 'build/Release/kvsift-cpu.node'), join(folder, 'kvsift-cpu.node'));
console.log(`${JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name} is ready in ${folder}`);
