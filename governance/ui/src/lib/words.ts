// The dictionary: each text in English and Chinese side by side, so that none can lack one of them. {name} is replaced;
// {n|agent|agents} chooses by the number n.
import { common } from '../words/common'
import { forms } from '../words/forms'
import { pages } from '../words/pages'
import { says } from '../words/says'

export const words = { ...common, ...pages, ...forms, ...says } as const
export type Key = keyof typeof words
export type Params = Record<string, string | number>

/** Fills a text's places. */
export function fill(text: string, params: Params = {}): string {
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name: string, one?: string, many?: string) => {
    const v = params[name]
    if (one !== undefined) return Number(v) === 1 ? one : (many ?? '')
    return v === undefined ? `{${name}}` : String(v)
  })
}
