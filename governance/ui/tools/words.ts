// Splits the dictionary (src/words) by language, so that a visitor loads the one that they read. English is in the first script.
// Chinese is a script of its own, which index.html names for public/start.js.
import type { Plugin } from 'vite'
import { common } from '../src/words/common.ts'
import { did } from '../src/words/did.ts'
import { forms } from '../src/words/forms.ts'
import { pages } from '../src/words/pages.ts'
import { says } from '../src/words/says.ts'

const column = (words: Record<string, readonly [string, string]>, n: 0 | 1) => Object.fromEntries(Object.entries(words).map(([key, texts]) => [key, texts[n]]))
/** An object as a browser reads it fastest. */
const parsed = (o: object) => `JSON.parse(${JSON.stringify(JSON.stringify(o))})`

const modules: Record<string, () => string> = {
  'virtual:words/en': () => `export default ${parsed(column({ ...common, ...pages, ...forms }, 0))}`,
  'virtual:words/zh': () => `export const words = ${parsed(column({ ...common, ...pages, ...forms, ...says }, 1))}\nexport const did = ${parsed(did)}`,
}

export function words(): Plugin {
  return {
    name: 'words',
    resolveId: (id) => (id in modules ? '\0' + id : undefined),
    load: (id) => modules[id.slice(1)]?.(),
    transformIndexHtml: {
      order: 'post',
      handler(_, { bundle }) {
        const chinese = Object.values(bundle ?? {}).find((f) => f.type === 'chunk' && f.facadeModuleId === '\0virtual:words/zh')
        return chinese && [{ tag: 'meta', attrs: { name: 'chinese', content: '/' + chinese.fileName }, injectTo: 'head-prepend' }]
      },
    },
  }
}
