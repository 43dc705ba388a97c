#!/usr/bin/env node
import { main } from './main.js';

// Whoever reads the output may stop: `kvsift policies | head` is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
}

void main(process.argv);
