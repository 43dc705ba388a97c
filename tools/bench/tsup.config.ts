import { library } from '@kvsift/presets/tsup';

export default library({
  entry: [
    'src/peers.ts',
    'src/peers/ours.ts',
    'src/peers/llama.ts',
    'src/policies.ts',
    'src/memory.ts',
    'src/quality.ts',
    'src/retrieval.ts',
    'src/eval.ts',
    'src/gpu.ts',
  ],
});
