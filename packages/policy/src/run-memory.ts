import { isKvsiftError, KvsiftError, type Tensor } from '@kvsift/tensor';
import { chain } from './chain.js';
import { demandNumber, layersNamed, refuseOthers, type SavedState, type Standing } from './saved-state.js';

/** What a run has gathered, by name. */
export interface RunState {
  readonly numbers: Readonly<Record<string, number>>;
  readonly tensors: Readonly<Record<string, Tensor>>;
}

/** How what a run has gathered gets into a session file and out of it. */
export interface RunMemory {
  /** The tensors stay the run's. */
  save(): RunState;
  /**
   * Looks at what a file says before anything is made of it: names, types, shapes, and numbers that are used as indices or counts. Floats are numbers
   * already.
   * @throws KvsiftError `file_malformed` naming what such a run cannot have gathered over such a cache
   */
  check(state: SavedState, standing: Standing): void | Promise<void>;
  /** For a run that has just begun, and a state that has passed `check`: takes over the tensors. */
  restore(state: RunState): void | Promise<void>;
}

/** Of a run that gathers nothing. */
export const noMemory: RunMemory = {
  save: () => ({ numbers: {}, tensors: {} }),
  check: (state) => refuseOthers(state, () => false),
  restore() {},
};

/** How something gets into a session file and out of it, without a look at what the file says. */
export type Storage = Pick<RunMemory, 'save' | 'restore'>;

/** Several memories as one, each under its name. */
export function joinMemories(parts: Readonly<Record<string, RunMemory>>): RunMemory {
  return joinStorages(parts, async (state, standing) => {
    refuseOthers(state, (name) => Object.keys(parts).some((part) => name.startsWith(`${part}.`)));
    for (const [part, memory] of Object.entries(parts)) {
      try {
        await memory.check({ numbers: below(part, state.numbers), tensors: below(part, state.tensors) }, standing);
      } catch (error) {
        if (!isKvsiftError(error)) throw error;
        throw new KvsiftError(error.code, `${part}.${error.message}`, error.details, { cause: error });
      }
    }
  });
}

/** Several storages as one, each under its name. @param check looks at all of them together, under these names */
export function joinStorages(parts: Readonly<Record<string, Storage>>, check: RunMemory['check']): RunMemory {
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
    check,
    restore({ numbers, tensors }) {
      return Object.entries(parts).reduce<void | Promise<void>>(
        (before, [part, memory]) =>
          chain(before, () => memory.restore({ numbers: below(part, numbers), tensors: below(part, tensors) })),
        undefined,
      );
    },
  };
}

/** Of a whole number per layer, 0 to `most`: of every layer or, where nothing has been counted yet, of none. */
export function layerNumbers(numbers: Map<number, number>, most: number): RunMemory {
  return {
    save: () => ({ numbers: Object.fromEntries(numbers), tensors: {} }),
    check(state, standing) {
      refuseOthers(state, (name) => name in state.numbers);
      if (layersNamed(state.numbers, standing).length === 0) return;
      for (let layer = 0; layer < standing.model.layers; layer++) demandNumber(state, String(layer), [0, most]);
    },
    restore(state) {
      for (const [layer, value] of Object.entries(state.numbers)) numbers.set(Number(layer), value);
    },
  };
}

/** What is named below a part, without the part's name. */
export function below<T>(part: string, named: Readonly<Record<string, T>>): Record<string, T> {
  const own = Object.entries(named).filter(([name]) => name.startsWith(`${part}.`));
  return Object.fromEntries(own.map(([name, value]) => [name.slice(part.length + 1), value]));
}
