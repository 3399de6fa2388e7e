// Asks V8 to compile the functions of the first script while it loads, on another thread: compiled when they are first called,
// hundreds of them hold up the first view. Other browsers see a comment.
import type { Plugin } from 'vite'

export const eager = (): Plugin => ({
  name: 'eager',
  generateBundle: {
    order: 'post',
    handler(_, bundle) {
      for (const f of Object.values(bundle)) if (f.type === 'chunk' && f.isEntry) f.code = '//# allFunctionsCalledOnLoad\n' + f.code
    },
  },
})
