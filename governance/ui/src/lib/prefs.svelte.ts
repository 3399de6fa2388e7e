// What this browser remembers: theme and language. Nothing else is stored.
import { learnChinese } from './words'

export type Theme = 'auto' | 'light' | 'dark'
export type Lang = 'en' | 'zh'

function load(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null // storage is refused
  }
}

function save(key: string, value: string): void {
  try {
    localStorage.setItem(key, value)
  } catch {
    // storage is refused: it holds until the page is closed
  }
}

const system = matchMedia('(prefers-color-scheme: dark)')

class Prefs {
  theme = $state<Theme>((load('sluice.theme') as Theme | null) ?? 'auto')
  lang = $state<Lang>(load('sluice.lang') === 'zh' || (!load('sluice.lang') && navigator.language.startsWith('zh')) ? 'zh' : 'en')
  private systemDark = $state(system.matches)
  dark = $derived(this.theme === 'dark' || (this.theme === 'auto' && this.systemDark))

  constructor() {
    system.addEventListener('change', (e) => (this.systemDark = e.matches))
    document.documentElement.lang = this.lang === 'zh' ? 'zh-CN' : 'en'
  }

  setTheme(t: Theme): void {
    this.theme = t
    save('sluice.theme', t)
    if (t === 'auto') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = t
  }

  /** Ends when the texts of the language are here. Without them the page stays English. */
  async ready(): Promise<void> {
    if (this.lang === 'zh') await learnChinese().catch(() => (this.lang = 'en'))
  }

  /** Fails when the language's texts cannot be loaded. */
  async setLang(l: Lang): Promise<void> {
    if (l === 'zh') await learnChinese()
    this.lang = l
    save('sluice.lang', l)
    document.documentElement.lang = l === 'zh' ? 'zh-CN' : 'en'
  }
}

export const prefs = new Prefs()
