#!/usr/bin/env node
import { exitCodes } from './exit-codes.js';
import { main } from './main.js';

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever reads the output may stop: `kvsift policies | head` is no error.
    if (error.code === 'EPIPE') process.exit();
    if (stream === process.stdout) console.error(`error: standard output cannot be written: ${error.message}`);
    process.exit(exitCodes.failed);
  });
}

void main(process.argv);
