export { type Scope, scoped } from '@kvsift/tensor';
