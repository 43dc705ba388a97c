export type { DownloadProgress } from './blob.js';
export { type DownloadOptions, downloadFile } from './download.js';
export { type HubFile, listFiles } from './list.js';
export type { HubOptions, HubRepository } from './settings.js';
