/**
 * Entries of the past per layer in proportion to preferences (specification 24): truncated shares, none above `cap`, the excess and what rounding
 * left spread evenly over the layers that have room, first ones first. The sum is `total` where the caps allow it.
 */
export function preferredShares(preferences: readonly number[], total: number, cap: number): number[] {
  const sum = preferences.reduce((all, preference) => all + preference, 0);
  const shares = preferences.map((preference) =>
    Math.min(
      cap,
      sum > 0 && Number.isFinite(sum) ? Math.trunc((total * preference) / sum) : Math.trunc(total / preferences.length),
    ),
  );
  let left = Math.min(total, cap * shares.length) - shares.reduce((all, share) => all + share, 0);
  while (left > 0) {
    const open = shares.flatMap((share, layer) => (share < cap ? [layer] : []));
    if (open.length === 0) break;
    const each = Math.floor(left / open.length);
    let extra = left % open.length;
    for (const layer of open) {
      const given = Math.min(cap - (shares[layer] ?? 0), each + (extra > 0 ? 1 : 0));
      extra--;
      shares[layer] = (shares[layer] ?? 0) + given;
      left -= given;
    }
  }
  return shares;
}
