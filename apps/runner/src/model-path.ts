import { demoModelPath } from '@kvsift/demo-model';

/** Path of a model that a user names: `demo` is the embedded one. */
export function modelPath(name: string): string {
  return name === 'demo' ? demoModelPath() : name;
}
