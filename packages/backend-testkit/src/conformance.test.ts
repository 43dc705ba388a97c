import { createReferenceBackend } from '@kvsift/backend-reference';
import { backendConformance } from './conformance.js';

backendConformance('reference', createReferenceBackend);
