// The dictionary, in which each text stands in English and Chinese side by side (src/words), so that none can lack one of them.
// tools/words.ts splits it by language. In a text {name} is replaced; {n|agent|agents} chooses by the number n.
import english from 'virtual:words/en'
import type { common } from '../words/common'
import type { forms } from '../words/forms'
import type { pages } from '../words/pages'
import type { says } from '../words/says'

export type Key = keyof (typeof common & typeof pages & typeof forms & typeof says)
export type Params = Record<string, string | number>

let chinese: typeof import('virtual:words/zh') | undefined

/** Loads the Chinese texts. Fails when the centre is away, or has another version by now. */
export async function learnChinese(): Promise<void> {
  chinese ??= await import('virtual:words/zh')
}

/** Whether there is a text of that key. Sentences of the centre are there in Chinese alone. */
export const known = (key: string): key is Key => key in english || (chinese !== undefined && key in chinese.words)

/** The text of a key, with its places filled. */
export const text = (key: Key, zh: boolean, params?: Params): string => fill((zh && chinese?.words[key]) || (english[key] ?? key), params)

/** What somebody did, in Chinese. */
export const done = (what: string): string | undefined => chinese?.did[what]

/** Fills a text's places. */
export function fill(text: string, params: Params = {}): string {
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name: string, one?: string, many?: string) => {
    const v = params[name]
    if (one !== undefined) return Number(v) === 1 ? one : (many ?? '')
    return v === undefined ? `{${name}}` : String(v)
  })
}
