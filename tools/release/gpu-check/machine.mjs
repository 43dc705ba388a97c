// The machine of ./gpu-check: what there is, and what to compile for.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { findNvcc } from '../../../native/cuda/addon/build.mjs';

/** What a program prints; undefined where it fails or is not there. */
const printed = (command, args) => {
  const { status, stdout, error } = spawnSync(command, args, { encoding: 'utf8' });
  return error || status !== 0 ? undefined : stdout.trim();
};

/** Rows of nvidia-smi, one for each GPU. */
const gpus = (fields) => printed('nvidia-smi', [`--query-gpu=${fields}`, '--format=csv,noheader'])?.split('\n') ?? [];

/** Name of the first GPU, which the checks run on; undefined where there is none. */
export const gpuName = () => gpus('name')[0];

/** True where a version, as "13.0.88", is at least another one. */
export const atLeast = (version, least) => {
  const [own, other] = [version, least].map((text) => text.split('.').map(Number));
  const at = other.findIndex((part, index) => part !== (own[index] ?? 0));
  return at < 0 || (own[at] ?? 0) > other[at];
};

const versionIn = (text) => /\d+(\.\d+)+/.exec(text ?? '')?.[0];

/**
 * What stands in the way of running the checks, in sentences.
 * @param facts { gpu, capability, nvcc, cmake, compiler }, each as it was printed, or undefined
 */
export function obstacles({ gpu, capability, nvcc, cmake, compiler }) {
  if (!gpu)
    return ['There is no GPU on this machine, or no driver for it: nvidia-smi lists none. Nothing of this check can run here.'];
  const out = [];
  if (!atLeast(capability, '8.0'))
    out.push(`The kernels need a GPU of compute capability 8.0 (Ampere) or newer; this one has ${capability}.`);
  const need = (name, found, least) => {
    if (!found) out.push(`The kernels cannot be compiled here: there is no ${name}.`);
    else if (least && !atLeast(versionIn(found), least))
      out.push(`The kernels cannot be compiled here: ${name} must be ${least} or newer.`);
  };
  need('nvcc', nvcc, '13.0');
  need('CMake', cmake, '3.25');
  need('C++ compiler', compiler);
  return out;
}

/** Prints what there is and what is missing; true where a GPU can be used. */
export function machine() {
  const nvcc = findNvcc();
  const line = (text, holds = () => true) => text?.split('\n').find(holds);
  const facts = {
    cmake: line(printed('cmake', ['--version'])),
    compiler: line(printed('c++', ['--version'])),
    nvcc: nvcc && line(printed(nvcc, ['--version']), (row) => row.includes('release')),
    gpu: gpus('name,driver_version,memory.total')[0],
    capability: gpus('compute_cap')[0],
  };
  for (const [name, fact] of Object.entries({ node: process.version, ...facts })) console.log(`${name}: ${fact ?? 'missing'}`);
  const found = obstacles(facts);
  for (const sentence of found) console.log(sentence);
  return found.length === 0;
}

/** What to compile for: the GPU that is here, by its number, so that another one is noticed. Instructions that only Hopper has are in a target of their own. */
export function targetOf(capability) {
  return `${capability.replace('.', '')}${capability === '9.0' ? 'a' : ''}-real`;
}

export const targets = () => targetOf(gpus('compute_cap')[0] ?? '8.0');

/** compute-sanitizer of the toolkit; undefined where it is not there. */
export function findSanitizer() {
  if (printed('compute-sanitizer', ['--version']) !== undefined) return 'compute-sanitizer';
  const usual = '/usr/local/cuda/bin/compute-sanitizer';
  return existsSync(usual) ? usual : undefined;
}
