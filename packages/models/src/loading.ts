/** Waits for all of them; where one fails, what the others made is released, and the first failure thrown. */
export async function allLoaded<T extends Disposable>(loading: readonly Promise<T>[]): Promise<T[]> {
  const ends = await Promise.allSettled(loading);
  const made = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed === undefined) return made;
  for (const resource of made) resource[Symbol.dispose]();
  throw failed.reason;
}
