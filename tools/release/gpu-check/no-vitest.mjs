// In the place of vitest and fast-check in a bundle: suites that need a test runner are not in it.
const absent = () => {
  throw new Error('this needs a test runner, which is not in the bundle');
};
export const describe = absent;
export const it = absent;
export const expect = absent;
export const beforeAll = absent;
export const afterAll = absent;
export default { assert: absent };
