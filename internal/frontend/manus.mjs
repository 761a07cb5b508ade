const api = new URLSearchParams(location.search).get('api') + '/api/v1'
let tokens = {}

export const signedInBy = (answer) => { tokens = answer }

export async function call(method, path, body) {
  const headers = { 'Content-Type': 'application/json' }
  if (tokens.access_token) headers.Authorization = 'Bearer ' + tokens.access_token
  const answer = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) })
  if (answer.status === 204) return null
  const json = await answer.json()
  if (!answer.ok) throw Object.assign(new Error(json.detail), { status: answer.status, problem: json })
  return json
}

// follow calls show for each event of a session, once and in order. The browser comes back to
// its stream by itself; where it isn't let in any more, another ticket is asked for.
export async function follow(session, show, after = 0) {
  try {
    const { url } = await call('POST', `/sessions/${session}/stream-ticket`)
    const source = new EventSource(`${url}&after=${after}`)
    const take = ({ data }) => {
      const event = JSON.parse(data)
      after = event.seq
      show(event)
      if (event.type === 'stopped') source.close()
    }
    for (const type of ['message', 'answer', 'stopped']) source.addEventListener(type, take)
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(session, show, after), 2000)
    }
  } catch {
    setTimeout(() => follow(session, show, after), 2000) // the server restarts
  }
}
