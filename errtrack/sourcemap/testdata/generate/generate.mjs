// Makes ../*.json: maps of a small program by tools that people use, each with the answers of
// @jridgewell/trace-mapping for every position of the generated file.
//
// A file is {"map": the map as the tool wrote it, "lengths": of the generated lines,
// "answers": [line, column, answer]…}, lines and columns counted from 1, answers as
// [source, line, column, name], null where the position is unmapped. An answer holds until
// the next one of its line.
import { encode } from '@jridgewell/sourcemap-codec'
import { FlattenMap, originalPositionFor } from '@jridgewell/trace-mapping'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import esbuild from 'esbuild'
import { minify } from 'terser'
import webpack from 'webpack'

process.chdir(import.meta.dirname)
const out = mkdtempSync(join(tmpdir(), 'sourcemap-'))
const read = name => readFileSync(join(out, name), 'utf8')
const maps = {}

const withEsbuild = options => {
  esbuild.buildSync({ entryPoints: ['src/shop.ts'], bundle: true, sourcemap: true, format: 'esm', outfile: join(out, 'e.js'), ...options })
  return [read('e.js'), read('e.js.map').replaceAll(/"(?:\.\.\/)+[^"]*?src\//g, '"../src/')]
}
maps['esbuild-minified'] = withEsbuild({ minify: true })
maps['esbuild-readable'] = withEsbuild({ sourcesContent: false, sourceRoot: 'https://shop.example/static/', charset: 'utf8' })

const tsc = createRequire(import.meta.url).resolve('typescript/package.json').replace('package.json', 'bin/tsc')
execFileSync(process.execPath, [tsc, '--ignoreConfig', '--outDir', join(out, 'ts'), '--rootDir', 'src', '--sourceMap', '--inlineSources', '--sourceRoot', '/src',
  '--target', 'es2017', '--module', 'esnext', '--moduleResolution', 'bundler', '--types', '', 'src/shop.ts'], { stdio: 'inherit' })
maps.typescript = [read('ts/shop.js'), read('ts/shop.js.map')]

const terser = await minify({ 'shop.js': read('ts/shop.js') }, { module: true, mangle: { toplevel: true }, sourceMap: { content: read('ts/shop.js.map'), includeSources: true } })
maps['terser-of-typescript'] = [terser.code, terser.map]
const wrapped = await minify({ 'a.js': 'function one(){undefined_one()}\n', 'b.js': 'one();\n/* two */ export default one' }, { module: true, format: { preamble: '/* shop\n1.0 */' }, sourceMap: { root: 'lib' } })
maps['terser-of-two'] = [wrapped.code, wrapped.map]

await new Promise((done, fail) => webpack({
  mode: 'production', target: 'web', context: import.meta.dirname, entry: join(out, 'ts/shop.js'), devtool: 'source-map',
  output: { path: out, filename: 'w.js', devtoolNamespace: 'shop', devtoolModuleFilenameTemplate: 'webpack://[namespace]/./[resource-path]?[hash]' },
  module: { rules: [] },
}, (err, stats) => err || stats.hasErrors() ? fail(err ?? stats.toString()) : done()))
maps.webpack = [read('w.js'), read('w.js.map').replaceAll(/\/\.\/(?:\.\.\/)*[^"?]*\/sourcemap-[^/]*\//g, '/./')]

// Two files one after the other, as a bundler for development writes them.
const [first, second] = [maps.typescript, maps['terser-of-typescript']]
const lines = first[0].split('\n')
maps.sections = [first[0] + second[0], JSON.stringify({
  version: 3, sections: [
    { offset: { line: 0, column: 0 }, map: JSON.parse(first[1]) },
    { offset: { line: lines.length - 1, column: lines.at(-1).length }, map: JSON.parse(second[1]) },
  ],
})]

// Segments in no order, several at one column, of one field between others, of a source
// without a name, and a line with nothing but such as are unmapped.
maps.odd = ['x'.repeat(60) + '\n\n' + 'y'.repeat(40) + '\n' + 'z'.repeat(9), JSON.stringify({
  version: 3, sources: ['a.js', null, 'b.js'], names: ['first', 'second'],
  mappings: encode([
    [[16, 0, 4, 1, 0], [10, 2, 9, 7, 1], [12], [40, 1, 3, 3], [16, 2, 2, 2], [16, 0, 5, 5, 1], [41], [41, 0, 1, 0], [50, 0, 0, 0, 0]],
    [],
    [[8, 2, 1000000, 1000000, 1], [20, 0, 0, 3], [20], [3, 0, 8, 8]],
    [[0], [4]],
  ]),
})]

for (const [name, [code, map]] of Object.entries(maps)) {
  const trace = new FlattenMap(map)
  const answers = [], lengths = code.split('\n').map(line => line.length)
  lengths.forEach((length, line) => {
    let before
    for (let column = 0; column <= length; column++) {
      const at = originalPositionFor(trace, { line: line + 1, column })
      const answer = at.line === null ? null : [at.source, at.line, at.column + 1, at.name ?? '']
      if (column === 0 || JSON.stringify(answer) !== before) answers.push([line + 1, column + 1, answer])
      before = JSON.stringify(answer)
    }
  })
  writeFileSync(`../${name}.json`, JSON.stringify({ map, lengths, answers }) + '\n')
}
