import { joinMemories, noMemory, type PolicyRun, type RunMemory } from '@kvsift/policy';
import { type Backend, KvsiftError, type Tensor } from '@kvsift/tensor';

/** What a run has gathered, in memory that stays: see `ownState`. */
export interface OwnState extends Disposable {
  /** Copies what the run has gathered since to that memory, where the run goes on with it. */
  settle(): void;
}

/** Copies what a run has gathered to memory that nobody else has, where it goes on: ops that are recorded may read and write there. */
export function ownState(backend: Backend, memory: RunMemory): OwnState {
  const { numbers, tensors } = memory.save();
  const own = new Map(Object.entries(tensors).map(([name, tensor]) => [name, backend.slice(tensor, 0, 0, tensor.shape[0] ?? 0)]));
  const begun = describeState(memory);
  const goOn = () => {
    const handles = [...own].map(([name, tensor]) => [name, backend.reshape(tensor, tensor.shape)] as const);
    if (memory.restore({ numbers, tensors: Object.fromEntries(handles) }) instanceof Promise)
      refuse('takes what it has gathered back only later');
  };
  goOn();
  return {
    settle() {
      const now = describeState(memory);
      if (now !== begun) refuse(`had gathered ${begun} before one and ${now} behind it`);
      for (const [name, tensor] of Object.entries(memory.save().tensors)) {
        const target = own.get(name);
        if (target !== undefined) backend.write(target, tensor);
      }
      goOn();
    },
    [Symbol.dispose]() {
      for (const tensor of own.values()) tensor.dispose();
    },
  };
}

/** Gives a fork state of its own where recorded rules of its origin may write to what they share. */
export function partFromOrigin(backend: Backend, run: PolicyRun | undefined, window: RunMemory | undefined): void {
  if (run?.decode?.repeats !== true || run.memory === undefined) return;
  ownState(backend, joinMemories({ policy: run.memory, window: window ?? noMemory }))[Symbol.dispose]();
}

/** Names, numbers, and types and shapes of tensors: what recorded ops depend on. */
export function describeState(memory: RunMemory): string {
  const { numbers, tensors } = memory.save();
  const shapes = Object.entries(tensors).map(([name, { dtype, shape }]: [string, Tensor]) => [
    name,
    `${dtype} [${shape.join()}]`,
  ]);
  return JSON.stringify({ ...numbers, ...Object.fromEntries(shapes) });
}

function refuse(sentence: string): never {
  throw new KvsiftError('policy_violation', `the policy says that its steps repeat, but ${sentence}`);
}
