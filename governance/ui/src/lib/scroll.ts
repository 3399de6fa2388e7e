/** Lets the keyboard reach what scrolls sideways, while it does. */
export function scrollable(node: HTMLElement): () => void {
  const update = () => {
    if (node.scrollWidth > node.clientWidth + 1) node.tabIndex = 0
    else node.removeAttribute('tabindex')
  }
  const watch = new ResizeObserver(update)
  watch.observe(node)
  for (const child of node.children) watch.observe(child)
  return () => watch.disconnect()
}
