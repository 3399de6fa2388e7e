// Ends a build: compresses what is served, prints what a visitor loads, and writes dist/sources.sha256, by which
// `go test ./governance/ui` sees without Node that dist was built from these very sources.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { gzipSync } from 'node:zlib'

const limit = 150 * 1024
const root = new URL('..', import.meta.url).pathname
const inputs = ['src', 'public', 'tools', 'index.html', 'package.json', 'package-lock.json', 'svelte.config.js', 'tsconfig.json', 'vite.config.ts']

function files(path) {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path).sort().flatMap((name) => files(join(path, name)))
}

const kb = (n) => (n / 1024).toFixed(1).padStart(7) + ' KB'
let raw = 0
let packed = 0
for (const path of files(join(root, 'dist'))) {
  if (path.endsWith('.gz')) continue
  const data = readFileSync(path)
  const gz = gzipSync(data, { level: 9 })
  // Tiny files do not gain from it.
  const served = gz.length < data.length - 64 ? gz.length : data.length
  if (served === gz.length) writeFileSync(path + '.gz', gz)
  raw += data.length
  packed += served
  console.log(kb(data.length), kb(served), ' ', relative(root, path))
}
console.log(kb(raw), kb(packed), '  in all; at most', limit / 1024, 'KB compressed')
if (packed > limit) {
  console.error('the page is too large')
  process.exit(1)
}

const lines = [...inputs, 'dist']
  .flatMap((path) => files(join(root, path)))
  .filter((path) => !path.endsWith('sources.sha256'))
  .map((path) => relative(root, path).replaceAll('\\', '/'))
  .sort()
  .map((path) => createHash('sha256').update(readFileSync(join(root, path))).digest('hex') + '  ' + path + '\n')
writeFileSync(join(root, 'dist/sources.sha256'), lines.join(''))
