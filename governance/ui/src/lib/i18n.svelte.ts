import { countdown, moment, span } from './format'
import { prefs } from './prefs.svelte'
import { clock } from './clock.svelte'
import { fill, words, type Key, type Params } from './words'

/** The text in the language that is chosen. */
export function t(key: Key, params?: Params): string {
  return fill(words[key][prefs.lang === 'zh' ? 1 : 0], params)
}

/** A word of the centre (a state, a kind of command) in the language that is chosen, or the word itself. */
export function term(word: string): string {
  const key = `term.${word}`
  return key in words ? t(key as Key) : word
}

/** How long ago something was. */
export function ago(at: string | number | undefined): string {
  if (!at) return '–'
  const ms = clock.now - new Date(at).getTime()
  return ms < 1500 ? t('time.now') : t('time.ago', { span: span(ms, prefs.lang === 'zh') })
}

export const lasted = (ms: number): string => span(ms, prefs.lang === 'zh')
export const when = (at: string | number | undefined): string => (at ? moment(at, clock.now) : '–')
export const left = (at: string | undefined): string => (at ? countdown(new Date(at).getTime() - clock.now) : '')
