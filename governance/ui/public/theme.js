// Runs before the first paint, so that a chosen theme and language do not flash.
try {
  var theme = localStorage.getItem('sluice.theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
  var lang = localStorage.getItem('sluice.lang')
  if (lang === 'zh') document.documentElement.lang = 'zh-CN'
} catch (e) {
  // Storage is refused: the system's theme stands.
}
