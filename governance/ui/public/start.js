// Runs before the page's code is there: a chosen theme and language do not flash, and what the first page will ask for is
// already on its way: where the browser heeds the header of the page (announce.go), these are the answers to what it has asked
// for by itself. src/lib/api.ts takes them.
var lang = navigator.language
try {
  var theme = localStorage.getItem('sluice.theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
  lang = localStorage.getItem('sluice.lang') || lang
} catch (e) {
  // Storage is refused: the system's theme stands.
}
if (lang.indexOf('zh') === 0) {
  document.documentElement.lang = 'zh-CN'
  var words = document.createElement('link')
  words.rel = 'modulepreload'
  words.href = document.querySelector('meta[name=chinese]').content
  document.head.appendChild(words)
}
window.early = {}
;(function () {
  var data = { '/': 'overview', '/resources': 'resources?brief', '/rules': 'resources', '/traffic': 'resources', '/agents': 'agents', '/commands': 'commands' }
  if (location.pathname === '/login') return
  ;['me', data[location.pathname]].forEach(function (name) {
    if (!name) return
    var answer = (window.early['/v1/' + name] = fetch('/v1/' + name, { headers: { Accept: 'application/json' }, credentials: 'same-origin' }))
    answer.catch(function () {}) // who needs it asks again and says why
  })
})()
