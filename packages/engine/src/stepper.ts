import type { DecoderModel } from '@kvsift/models';
import type { Tensor } from '@kvsift/tensor';
import { DecodeLoop } from './decode.js';
import type { Ahead } from './frontier.js';
import { LogitsRow } from './logits-row.js';
import { restoring } from './restoring.js';
import type { Sequence } from './sequence.js';

/** Feeds the tokens of one session; keeps the recorded step while nobody else touches its cache. */
export class Stepper {
  #loop: DecodeLoop | undefined;

  constructor(
    private readonly decoder: DecoderModel,
    private readonly sequence: () => Sequence,
  ) {}

  /** Feeds a token; returns the logits that follow it. A step that fails leaves the cache as it was, but where a policy evicts in it. */
  async step(id: number): Promise<LogitsRow> {
    const loop = this.#started();
    const ids = Int32Array.of(id);
    const { cache, run } = this.sequence();
    const exposed = loop.replays || run?.decode !== undefined;
    return this.#rowOf(await (exposed ? loop.step(ids) : restoring(cache, undefined, () => loop.step(ids))));
  }

  /**
   * Starts the step of a token that has been drawn but not read, so that the stream has work while the host looks at it.
   * @returns undefined where steps cannot run ahead
   */
  runAhead(id: Tensor, logits: LogitsRow): Ahead | undefined {
    const loop = this.#started();
    if (!loop.runsAhead) return undefined;
    const before = LogitsRow.of(this.decoder.backend.slice(logits.tensor, 0, 0, 1));
    return { before, after: this.#rowOf(loop.stepWith(id)) };
  }

  stop(): void {
    this.#loop?.[Symbol.dispose]();
    this.#loop = undefined;
  }

  #started(): DecodeLoop {
    this.#loop ??= new DecodeLoop(this.decoder, [this.sequence()]);
    return this.#loop;
  }

  /** Logits of the loop, which lie where its next step writes. */
  #rowOf(logits: Tensor): LogitsRow {
    return LogitsRow.of(this.decoder.backend.reshape(logits, logits.shape));
  }
}
