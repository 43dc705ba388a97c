import type { ReportData } from '../combine.js';

/**
 * One self-contained HTML page: tables, charts, heat maps, the tokens that each layer kept, failures, what was left out, manifests. It loads nothing, and its content security policy lets
 * no script run but its own. What draws it is loaded with the first page.
 */
export async function reportPage(data: ReportData, title: string): Promise<string> {
  const { drawPage } = await import('./page.js');
  return drawPage(data, title);
}
