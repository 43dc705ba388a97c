/** Parser of an option that may be given several times: all its values, in order. */
export const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];
