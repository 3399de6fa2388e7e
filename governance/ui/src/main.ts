import { mount } from 'svelte'
import './app.css'
import App from './App.svelte'
import { early } from './lib/api'

/** How long (ms) the page waits for its first data before it shows what stands around it. */
const patience = 400

void early(patience).then(() => mount(App, { target: document.getElementById('app')! }))
