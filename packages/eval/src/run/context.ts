import type { EvalEngine } from '../engine/contract.js';
import type { RunFolder } from '../store/run-folder.js';
import type { JsonValue } from '../suite.js';
import type { ModelSetting, RunConfig } from './config.js';
import { describeMachine } from './environment.js';
import { hashManifest, type Manifest } from './manifest.js';
import { modelName } from './names.js';
import type { SuitePlan } from './plan.js';
import type { SampleContext } from './sample.js';

/** What a manifest holds besides model, suite and settings. */
interface Surroundings {
  readonly code: { readonly version: string };
  /** See `currentCommit`. */
  readonly commit: string | null;
  readonly dataOptions?: readonly string[];
}

/** What all samples of a model and suite share, its manifest above all. */
export async function contextOf(
  config: RunConfig,
  model: ModelSetting,
  engine: EvalEngine,
  plan: SuitePlan,
  files: RunFolder,
  { code, commit, dataOptions = [] }: Surroundings,
): Promise<SampleContext> {
  const { setting, suite, profile, samplesHash, stops, failures } = plan;
  const chat = config.chat && engine.chat !== undefined;
  const { data, options } = partedOptions(setting.options ?? {}, dataOptions);
  const manifest: Manifest = {
    kvsift: code.version,
    commit,
    node: process.versions.node,
    machine: describeMachine(),
    model: { ...engine.facts, contextLength: engine.contextLength },
    suite: {
      name: suite.name,
      tasks: [...plan.tasks.keys()],
      profile,
      options,
      ...(Object.keys(data).length > 0 && { data }),
      promptTokens: setting.promptTokens ?? null,
      samples: samplesHash,
      stops: [...stops],
    },
    question: config.question,
    chat,
    seed: config.seed,
    ...(config.sharePrefill && engine.answerAll !== undefined && { prefill: 'shared' as const }),
    ...(failures.length > 0 && { leftOut: failures.map(({ task, message }) => ({ task, message })) }),
  };
  return {
    model: modelName(model),
    manifest,
    manifestHash: hashManifest(manifest),
    suite,
    profile,
    mode: config.question,
    chat: chat ? engine.chat : undefined,
    seed: config.seed,
    onError: config.onError,
    saveRetention: (key, retention) => files.writeRetention(key, retention),
  };
}

/** Options that say where data lie, and the others. */
function partedOptions(all: Readonly<Record<string, JsonValue>>, names: readonly string[]) {
  const part = (isData: boolean) => Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name) === isData));
  return { data: part(true), options: part(false) };
}
