import { mount } from 'svelte'
import './app.css'
import App from './App.svelte'
import { early } from './lib/api'
import { prefs } from './lib/prefs.svelte'

/** How long (ms) the page waits for its first data before it shows what stands around it. */
const patience = 400

void Promise.all([early(patience), prefs.ready()]).then(() => mount(App, { target: document.getElementById('app')! }))
