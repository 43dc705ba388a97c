import { KvsiftError, type Program, type Tensor } from '@kvsift/tensor';
import type { AddonBackend } from './addon-backend.js';

interface Step {
  run(): void;
  dispose(): void;
}

/** A recording over several backends: programs of one backend each, in turns, and copies from one to the other between them. */
export class Tape {
  readonly #steps: Step[] = [];
  readonly #copies = new Map<Tensor, Map<AddonBackend, Tensor>>();
  readonly #aliases: Tensor[] = [];
  #recording: AddonBackend | undefined;

  /** From here on ops of `part` are recorded. */
  goTo(part: AddonBackend): void {
    if (this.#recording === part) return;
    this.#close();
    part.beginRecording();
    this.#recording = part;
  }

  /** The tensor on another part, as it is when the program has come this far. */
  moved(tensor: Tensor, from: AddonBackend, to: AddonBackend): Tensor {
    const known = this.#copies.get(tensor) ?? new Map<AddonBackend, Tensor>();
    this.#copies.set(tensor, known);
    const before = known.get(to);
    if (before !== undefined) return before;
    // Copies are made between programs.
    this.#close();
    const copy = to.empty(tensor.dtype, tensor.shape);
    known.set(to, copy);
    // A handle of its own: the caller may dispose of the tensor once it is recorded.
    const source = from.reshape(tensor, tensor.shape);
    this.#aliases.push(source);
    this.#steps.push({ run: () => to.receive(copy, from, source), dispose: () => copy.dispose() });
    return copy;
  }

  /** What ops after this one read of a tensor is no longer what was copied. */
  changed(tensor: Tensor): void {
    this.#copies.delete(tensor);
  }

  end(): Program {
    this.#close();
    const steps = this.#steps;
    const aliases = this.#aliases;
    let open = true;
    const dispose = () => {
      if (!open) return;
      open = false;
      for (const step of steps) step.dispose();
      for (const alias of aliases) alias.dispose();
    };
    return {
      run() {
        if (!open) throw new KvsiftError('disposed', 'run: the program was disposed', { op: 'run' });
        for (const step of steps) step.run();
      },
      dispose,
      [Symbol.dispose]: dispose,
    };
  }

  #close(): void {
    const part = this.#recording;
    this.#recording = undefined;
    if (part !== undefined) this.#steps.push(part.endRecording());
  }
}
