#!/usr/bin/env node
// Puts the native part of this machine into its platform package, ready to be packed: npm/<platform>/kvsift-cuda.node.
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
    `There is no package for ${platform} in native/cuda/npm: copy the folder of another platform and change os, cpu and libc.`,
  );
  process.exit(1);
}
copyFileSync(join(root, 'build/gpu/Release/kvsift-cuda.node'), join(folder, 'kvsift-cuda.node'));
console.log(`${JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name} is ready in ${folder}`);
