import { countdown, moment, span } from './format'
import { prefs } from './prefs.svelte'
import { clockAhead } from './agents'
import { ApiError } from './api'
import { clock as time } from './clock.svelte'
import { done, known, text, type Key, type Params } from './words'
import { ui } from './ui.svelte'
import type { Agent, Said } from './types'

/** The text in the language that is chosen. */
export function t(key: Key, params?: Params): string {
  return text(key, prefs.lang === 'zh', params)
}

/** Changes the language, or says why that cannot be. */
export async function otherLanguage(): Promise<void> {
  await prefs.setLang(prefs.lang === 'en' ? 'zh' : 'en').catch(() => ui.say(t('state.oldpage'), 'bad'))
}

/** A word of the centre (a state, a kind of command) in the language that is chosen, or the word itself. */
export function term(word: string): string {
  const key = `term.${word}`
  return known(key) ? t(key) : word
}

/** A sentence of the centre: its own text, which is English, or by its code in another language. */
export function say(english: string, said?: Said): string {
  const key = `says.${said?.code}`
  if (prefs.lang !== 'zh' || !said || !known(key)) return english
  const params = Object.entries(said.with ?? {}).map(([name, v]) => [name, typeof v === 'object' ? say('', v) : name === 'state' || name === 'type' ? term(String(v)) : v])
  return t(key, Object.fromEntries(params))
}

/** Sentences of the centre, whose texts are one in English. */
export function sayAll(text: string, said: Said[] | undefined): string {
  return prefs.lang !== 'zh' || !said?.length ? text : said.map((s) => say(text, s)).join('；')
}

/** Why something was refused: in the centre's words where it has them in this language, else what kind of refusal it is, and its text. */
export function fault(e: unknown): string {
  if (!(e instanceof ApiError)) return e instanceof Error ? e.message : String(e)
  if (prefs.lang !== 'zh') return e.message
  if (e.status === 0) return t('state.unreachable')
  if (e.said && known(`says.${e.said.code}`)) return say(e.message, e.said)
  const key = `error.${e.code}`
  return known(key) ? t(key, { message: e.message }) : e.message
}

/** What somebody did: a verb of the audit log, or a command as in "switch tc=100", or that it was taken back: "undo switch tc=100". */
export function act(what: string): string {
  if (prefs.lang !== 'zh') return what
  const [first, ...rest] = what.trim().split(' ')
  if (first === 'undo' && rest.length) return `${done(first)} ${act(rest.join(' '))}`
  return done(what.trim()) ?? [done(first!) ?? term(first!), ...rest].join(' ')
}

/** How long ago something was. */
export function ago(at: string | number | undefined): string {
  if (!at) return '–'
  const ms = time.now - new Date(at).getTime()
  return ms < 1500 ? t('time.now') : t('time.ago', { span: span(ms, prefs.lang === 'zh') })
}

export const lasted = (ms: number): string => span(ms, prefs.lang === 'zh')
export const when = (at: string | number | undefined): string => (at ? moment(at, time.now) : '–')
/** How an agent's clock is: "right", "1 h ahead". */
export function clock(a: Agent): string {
  const ms = clockAhead(a)
  if (Number.isNaN(ms)) return '–'
  return a.clockOff ? t(ms < 0 ? 'agent.clock.behind' : 'agent.clock.ahead', { far: lasted(Math.abs(ms)) }) : t('agent.clock.right')
}

export const left = (at: string | undefined): string => (at ? countdown(new Date(at).getTime() - time.now) : '')
