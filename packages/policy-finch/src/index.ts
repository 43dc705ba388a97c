export { finch, finchPresets } from './finch.js';
