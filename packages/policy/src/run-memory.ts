import type { Tensor } from '@kvsift/tensor';

/** What a run has gathered, by name. */
export interface RunState {
  readonly numbers: Readonly<Record<string, number>>;
  readonly tensors: Readonly<Record<string, Tensor>>;
}

/** How what a run has gathered gets into a session file and out of it. */
export interface RunMemory {
  /** The tensors stay the run's. */
  save(): RunState;
  /** For a run that has just begun: takes over the tensors. */
  restore(state: RunState): void | Promise<void>;
}

/** Of a run that gathers nothing. */
export const noMemory: RunMemory = { save: () => ({ numbers: {}, tensors: {} }), restore() {} };

/** Several memories as one, each under its name. */
export function joinMemories(parts: Readonly<Record<string, RunMemory>>): RunMemory {
  return {
    save() {
      const numbers: Record<string, number> = {};
      const tensors: Record<string, Tensor> = {};
      for (const [part, memory] of Object.entries(parts)) {
        const state = memory.save();
        for (const [name, value] of Object.entries(state.numbers)) numbers[`${part}.${name}`] = value;
        for (const [name, tensor] of Object.entries(state.tensors)) tensors[`${part}.${name}`] = tensor;
      }
      return { numbers, tensors };
    },
    async restore({ numbers, tensors }) {
      for (const [part, memory] of Object.entries(parts)) {
        await memory.restore({ numbers: below(part, numbers), tensors: below(part, tensors) });
      }
    },
  };
}

/** Of one number per layer. */
export function layerNumbers(numbers: Map<number, number>): RunMemory {
  return {
    save: () => ({ numbers: Object.fromEntries(numbers), tensors: {} }),
    restore(state) {
      for (const [layer, value] of Object.entries(state.numbers)) numbers.set(Number(layer), value);
    },
  };
}

function below<T>(part: string, named: Readonly<Record<string, T>>): Record<string, T> {
  const own = Object.entries(named).filter(([name]) => name.startsWith(`${part}.`));
  return Object.fromEntries(own.map(([name, value]) => [name.slice(part.length + 1), value]));
}
