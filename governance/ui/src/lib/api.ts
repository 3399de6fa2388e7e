// Requests to the centre. The session is a cookie that scripts cannot read; methods that change something carry the header
// that other sites cannot send.
import type { DryRun, Said } from './types'

/** What the centre refused, in its own words, or that it could not be reached (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly path?: string,
    readonly body?: unknown,
    readonly said?: Said,
  ) {
    super(message)
  }
}

/** Called when the centre says that nobody is logged in. */
let onUnauthorized: () => void = () => {}
export function whenUnauthorized(f: () => void): void {
  onUnauthorized = f
}

export interface Options {
  body?: unknown
  /** A document that is sent as it is. */
  yaml?: string
  /** ETag that must still hold; "*" with `create` asks that there be none. */
  match?: string
  create?: boolean
  signal?: AbortSignal
}

export async function call<T>(method: string, path: string, o: Options = {}): Promise<T> {
  return (await exchange<T>(method, path, o)).data
}

declare global {
  interface Window {
    /** Answers that public/start.js asked for, by path. */
    early?: Record<string, Promise<Response>>
  }
}

interface Answer { data: unknown; etag: string }

/** After so many ms what start.js asked for is old. */
const fresh = 10_000
/** What start.js asked for, for whoever asks first; undefined is an answer of no use, such as that nobody is logged in. */
const begun = new Map<string, Promise<Answer | undefined>>()
/** Those of them that are here. */
const here = new Map<string, Answer>()

for (const [path, asked] of Object.entries(window.early ?? {})) {
  begun.set(path, asked.then(async (r) => {
    if (!r.ok) return undefined
    const answer = { data: await r.json(), etag: r.headers.get('ETag') ?? '' }
    if (begun.has(path)) here.set(path, answer)
    return answer
  }).catch(() => undefined))
}

/** Ends when all that start.js asked for is here, or after some ms: a page that is drawn with its data is drawn once. */
export async function early(ms: number): Promise<void> {
  await Promise.race([Promise.all(begun.values()), new Promise((done) => setTimeout(done, ms))])
}

/** The answer to a GET of path that is here already; it is handed out once. */
export function take<T>(path: string): T | undefined {
  const answer = here.get(path)
  if (answer) begun.delete(path)
  here.delete(path)
  return performance.now() > fresh ? undefined : (answer?.data as T | undefined)
}

/** The answer to a GET of path that is on its way or here. */
async function coming(path: string): Promise<Answer | undefined> {
  const answer = begun.get(path)
  begun.delete(path)
  here.delete(path)
  return performance.now() > fresh ? undefined : answer
}

/** Like call, with the ETag of the answer. */
export async function exchange<T>(method: string, path: string, o: Options = {}): Promise<{ data: T; etag: string }> {
  const headers: Record<string, string> = { Accept: 'application/json' }
  if (method !== 'GET') headers['X-Sluice'] = '1'
  if (o.match) headers['If-Match'] = o.match
  if (o.create) headers['If-None-Match'] = '*'
  let body: string | undefined
  if (o.yaml !== undefined) {
    headers['Content-Type'] = 'application/yaml'
    body = o.yaml
  } else if (o.body !== undefined) {
    headers['Content-Type'] = 'application/json'
    body = JSON.stringify(o.body)
  }
  const answer = method === 'GET' ? await coming(path) : undefined
  if (answer) return answer as { data: T; etag: string }
  let r: Response
  try {
    r = await fetch(path, { method, headers, body: body ?? null, signal: o.signal ?? null, credentials: 'same-origin' })
  } catch (e) {
    if (o.signal?.aborted) throw e
    throw new ApiError(0, 'unreachable', 'the centre cannot be reached')
  }
  const text = await r.text()
  let data: unknown
  try {
    data = text ? JSON.parse(text) : undefined
  } catch {
    data = undefined
  }
  if (r.ok) return { data: data as T, etag: r.headers.get('ETag') ?? '' }
  if (r.status === 401 && path !== '/v1/login') onUnauthorized()
  const e = (data as { error?: { code?: string; message?: string; path?: string; messageSay?: Said } } | undefined)?.error
  throw new ApiError(r.status, e?.code ?? String(r.status), e?.message ?? `${method} ${path}: status ${r.status}`, e?.path, data, e?.messageSay)
}

/** A dry run of a document. A refusal with status 400 or 422 is an answer too: what is wrong, and where. */
export async function dryRun(name: string, yaml: string, etag?: string): Promise<DryRun> {
  try {
    return await call<DryRun>('PUT', `/v1/resources/${encodeURIComponent(name)}?dry-run=true`, { yaml, match: etag })
  } catch (e) {
    if (!(e instanceof ApiError) || (e.status !== 400 && e.status !== 422)) throw e
    const body = e.body as Partial<DryRun> | undefined
    return { valid: false, problems: body?.problems ?? [{ path: e.path, message: e.message }] }
  }
}

/** Path of a resource, or of a part of it. */
export const resource = (name: string, part = ''): string => `/v1/resources/${encodeURIComponent(name)}${part && '/' + part}`
