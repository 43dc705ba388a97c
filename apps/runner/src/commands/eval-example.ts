/** What `kvsift eval init` writes: a run that works as it is. */
export const exampleConfig = `# A run: every model reads every sample under the full cache and under every policy at every budget.
models:
  - demo # the embedded model; or the path of a .gguf file or a Hugging Face folder
  # - { path: models/SmolLM2-135M-Instruct.gguf, name: SmolLM2, contextLength: 8192 }
policies:
  - snapkv
  - streaming-llm
budgets: # 512 (tokens), 20% (of the prompt), 64MiB (whole cache)
  - 20%
  - 10%
suites:
  - suite: facts # hidden in generated texts, for the embedded model
    limit: 10
    options: { lengths: [1024] }
  # - { suite: needle, limit: 20, options: { essays: essays/, lengths: [1000, 2000, 4000] } }
  # - { suite: ruler, tasks: [niah_single_1, vt], limit: 20, options: { length: 4096 } }
question: aware # agnostic: compress before the question is known
sharePrefill: false # true: each prompt is read once for all policies, and no policy has a time of reading of its own
backend: cpu # reference, cuda
seed: 42
onError: continue # or stop
`;
