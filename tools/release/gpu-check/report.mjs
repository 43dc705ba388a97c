// What ./gpu-check found, as Markdown.

/** Lines of a benchmark that are JSON, as a table; '' where there are none. */
function table(output) {
  const rows = output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .flatMap((line) => {
      try {
        return [JSON.parse(line)];
      } catch {
        return [];
      }
    });
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  if (rows.length === 0) return '';
  const cell = (value) => (typeof value === 'number' && !Number.isInteger(value) ? value.toPrecision(4) : String(value ?? ''));
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(columns), line(columns.map(() => '---')), ...rows.map((row) => line(columns.map((name) => cell(row[name]))))].join(
    '\n',
  );
}

/** One table of all stages, then what each printed. `about`: { commit, gpu } */
export function report({ commit, gpu }, stages, results) {
  const lines = [
    '# gpu-check',
    '',
    `Commit ${commit}, ${gpu}.`,
    '',
    '| stage | outcome | seconds | last line |',
    '|---|---|---|---|',
  ];
  for (const { name } of stages) {
    const { outcome = 'not run', seconds = '', last = '' } = results[name] ?? {};
    lines.push(`| ${name} | ${outcome} | ${seconds} | ${last.replaceAll('|', '\\|')} |`);
  }
  for (const { name, what } of stages) {
    const result = results[name];
    if (result === undefined) continue;
    lines.push('', `## ${name}`, '', `${what}. Started ${result.at}.`, '');
    lines.push(table(result.output) || ['```', result.output.slice(-4000), '```'].join('\n'));
  }
  return `${lines.join('\n')}\n`;
}
