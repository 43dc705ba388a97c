import { type ErrorCode, KvsiftError } from '@kvsift/tensor';
import type { ErrorFactory } from './addon-types.js';

/** Errors of an addon as errors of kvsift. `wantedBytes`, `availableBytes` and `heldBytes` (by tensors) are in the details of an `out_of_memory` where they are known. */
export const addonError: ErrorFactory = (code, message, op, wanted = 0, available = 0, held = 0) =>
  new KvsiftError(code as ErrorCode, message, {
    op,
    ...(wanted > 0 && { wantedBytes: wanted, availableBytes: available }),
    ...(held > 0 && { heldBytes: held }),
  });
