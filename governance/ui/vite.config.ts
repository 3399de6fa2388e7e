import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'
import { eager } from './tools/eager.ts'
import { words } from './tools/words.ts'

// The page is served under a policy that allows no inline script, no inline style and no other origin, so nothing is inlined
// and nothing is loaded from elsewhere. `npm run dev` passes the interface on to a centre at SLUICE_AT.
export default defineConfig({
  plugins: [svelte(), words(), eager()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 400,
    // What the first page needs is one script, whatever the other pages share with it: requests wait for each other.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'index', test: /./, tags: ['$initial'] }] } } },
  },
  server: {
    host: '127.0.0.1',
    proxy: { '/v1': process.env.SLUICE_AT ?? 'http://127.0.0.1:9980' },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
})
