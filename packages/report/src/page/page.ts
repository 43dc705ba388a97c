import type { ReportData } from '../combine.js';

export async function reportPage(_data: ReportData, title: string): Promise<string> {
  return title;
}
