import { allPolicies } from '@kvsift/policies';
import { runWorker } from '../worker.js';
import { factReader } from './fact-reader.js';

/** A worker as a process of its own, to be killed: `worker-process URL`. Tells its events as lines. */
const [url = ''] = process.argv.slice(2);

void runWorker({
  url,
  registry: allPolicies(),
  openEngine: async () => factReader({ deadly: () => process.kill(process.pid, 'SIGKILL') }),
  code: { version: 'test', commit: null },
  lease: 2000,
  onEvent: (event) => console.log(JSON.stringify(event)),
});
