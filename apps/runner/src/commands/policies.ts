import { allPolicies } from '@kvsift/policies';
import Table from 'cli-table3';
import { Command } from 'commander';

export function policiesCommand(): Command {
  return new Command('policies')
    .description('Lists every policy: name, parameters, what it observes, what it costs.')
    .option('--json', 'print JSON')
    .action(policies)
    .addHelpText('after', '\nExamples:\n  kvsift policies\n  kvsift inspect snapkv    more about one of them');
}

function policies({ json }: { json?: boolean }): void {
  const registry = allPolicies();
  const list = [...registry.factories.values()].map(({ definition }) => ({
    name: definition.name,
    title: definition.title,
    idea: definition.idea,
    parameters: definition.parameters,
    phases: definition.phases,
    observes: definition.observes,
    costs: definition.costs,
    ...(definition.paper && { paper: definition.paper }),
  }));
  const presets = [...registry.presets.values()];
  if (json) {
    console.log(JSON.stringify({ policies: list, presets }, null, 2));
    return;
  }
  const table = new Table({
    head: ['policy', 'parameters', 'observes', 'costs'],
    wordWrap: true,
    colWidths: [20, 34, 34, 30],
    style: { head: [], border: [] },
  });
  for (const { name, parameters, observes, costs } of list)
    table.push([name, Object.keys(parameters).join(', ') || '–', observes, costs]);
  console.log(table.toString());
  for (const { name, expression } of presets) console.log(`${name} = ${expression}`);
}
