import { demoModelPath } from '@kvsift/demo-model';
import { KvsiftError } from '@kvsift/tensor';

/** Path of a model that a user names: `demo` is the embedded one. @throws KvsiftError `invalid_argument` */
export function modelPath(name: string): string {
  if (name === '') throw new KvsiftError('invalid_argument', 'which model? Give a .gguf file, a Hugging Face folder, or demo');
  return name === 'demo' ? demoModelPath() : name;
}
