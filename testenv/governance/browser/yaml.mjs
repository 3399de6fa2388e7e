// What the pages' own reader and writer of YAML make of a document. Each line of the input is JSON and has a line of the output:
//   {"text"}                   { "value" }, or { "error" } where the form steps back
//   {"text", "path", "value"}  { "text" } with that field set
// yaml_test.go runs this.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const ui = new URL('../../../governance/ui/', import.meta.url)
const { runnerImport } = await import(createRequire(new URL('package.json', ui)).resolve('vite'))
const { module } = await runnerImport(fileURLToPath(new URL('src/lib/document.ts', ui)), { configFile: false, root: fileURLToPath(ui), logLevel: 'error' })

for await (const line of createInterface({ input: process.stdin })) {
  const { text, path, value } = JSON.parse(line)
  if (path) console.log(JSON.stringify({ text: module.set(text, path, value) }))
  else {
    const read = module.parse(text)
    console.log(JSON.stringify(read.error ? { error: `line ${read.error.line}: ${read.error.message}` } : { value: read.value }))
  }
}
