#!/usr/bin/env node
// Checks that every name that a package exports, and every method of its classes and interfaces, says what it is in a docstring.
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { sourceAliases } from '../presets/vitest.mjs';
import { finish, root, workspacePackages } from './packages.mjs';

const entries = workspacePackages()
  .filter(({ manifest }) => manifest.private !== true)
  .map(({ folder }) => join(root, folder, 'src/index.ts'))
  .filter((path) => existsSync(path));
// From the sources: declarations in dist may be older, or not there.
const paths = Object.fromEntries(
  sourceAliases(root).map(({ find, replacement }) => [find.source.slice(1, -1).replaceAll('\\', ''), [replacement]]),
);
const program = ts.createProgram(entries, {
  ...{ module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2022, noEmit: true, skipLibCheck: true, types: [] },
  paths,
});
const checker = program.getTypeChecker();
const findings = new Set();
/** Each op is named as in `Backend`, where it is described. */
const described = new Set(['NativeBackend']);
for (const entry of entries) {
  const module = checker.getSymbolAtLocation(program.getSourceFile(entry));
  for (const exported of module === undefined ? [] : checker.getExportsOfModule(module)) check(exported);
}
finish('docstrings', [...findings].sort());

function check(exported) {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  report(symbol, exported.name, [symbol, exported]);
  if (described.has(symbol.name) || !(symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface))) return;
  for (const member of symbol.members.values()) {
    if (isPublicMethod(member)) report(member, `${symbol.name}.${member.name}`);
  }
}

/** `[Symbol.dispose]` and its like say what they are. */
function isPublicMethod(member) {
  const [declaration] = member.declarations ?? [];
  if (!(member.flags & ts.SymbolFlags.Method) || declaration === undefined || !ts.isIdentifier(declaration.name)) return false;
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  return (
    !(ts.getCombinedModifierFlags(declaration) & hidden) && !member.getJsDocTags(checker).some(({ name }) => name === 'internal')
  );
}

/** A finding, where nothing is written about any of the symbols. */
function report(symbol, name, documented = [symbol]) {
  if (documented.some((one) => one.getDocumentationComment(checker).length > 0)) return;
  const [declaration] = symbol.declarations ?? [];
  const file = declaration?.getSourceFile();
  if (file === undefined || file.fileName.includes('/node_modules/')) return;
  const { line } = file.getLineAndCharacterOfPosition(declaration.getStart());
  findings.add(`${relative(root, file.fileName)}:${line + 1}: ${name} has no docstring`);
}
