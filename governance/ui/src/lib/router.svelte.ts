// Addresses: paths, so that links can be sent and the back button works. The centre serves the page for every path that is
// none of its own.

class Route {
  path = $state(location.pathname)
  query = $state.raw(new URLSearchParams(location.search))
  /** The parts of the path, decoded. */
  parts = $derived(this.path.split('/').filter(Boolean).map(decode))
}

function decode(s: string): string {
  try {
    return decodeURIComponent(s)
  } catch {
    return s
  }
}

export const route = new Route()

function read(): void {
  route.path = location.pathname
  route.query = new URLSearchParams(location.search)
}

addEventListener('popstate', read)

/** Goes to an address of this page. Links that the centre gives may be such addresses with or without a leading #. */
export function go(to: string, replace = false): void {
  const at = local(to)
  if (at === location.pathname + location.search) return
  history[replace ? 'replaceState' : 'pushState'](null, '', at)
  const samePage = new URL(at, location.href).pathname === route.path
  read()
  if (!samePage) {
    document.getElementById('main')?.scrollTo(0, 0)
    scrollTo(0, 0)
  }
}

/** Changes one parameter of the address, without an entry in the history. */
export function setQuery(key: string, value: string): void {
  const q = new URLSearchParams(location.search)
  if (value) q.set(key, value)
  else q.delete(key)
  const text = q.toString()
  go(location.pathname + (text && '?' + text), true)
}

/** Keeps an address within this site: anything else becomes the overview. */
export function local(to: string): string {
  const at = to.replace(/^#/, '')
  return at.startsWith('/') && !at.startsWith('//') && !at.startsWith('/\\') ? at : '/'
}

/** Lets plain clicks on links of this page change the page without loading it anew. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const a = (event.target as Element | null)?.closest('a')
  const href = a?.getAttribute('href')
  if (!a || !href?.startsWith('/') || a.target || a.hasAttribute('download') || href.startsWith('/v1/')) return
  event.preventDefault()
  go(href)
}

export const to = {
  resource: (name: string, tab = '') => `/resources/${encodeURIComponent(name)}${tab && '/' + tab}`,
  traffic: (name: string) => `/traffic/${encodeURIComponent(name)}`,
  rules: (name: string) => `/rules/${encodeURIComponent(name)}`,
  agent: (name: string) => `/agents/${encodeURIComponent(name)}`,
  plan: (id: string) => `/plans/${encodeURIComponent(id)}`,
  release: (id: string) => `/releases/${encodeURIComponent(id)}`,
}
