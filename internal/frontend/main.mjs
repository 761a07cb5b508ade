import { call, follow, signedInBy } from './manus.mjs'

let session

const done = (text) => { document.getElementById('status').textContent = text }

// on runs what a form does, and says on the page what came of it.
function on(id, act) {
  document.getElementById(id).addEventListener('submit', async (event) => {
    event.preventDefault()
    done('…')
    try {
      done(await act(Object.fromEntries(new FormData(event.target))))
    } catch (trouble) {
      done('failed: ' + trouble.message)
    }
  })
}

on('sign-up', async ({ email, password }) => {
  signedInBy(await call('POST', '/auth/register', { email, password }))
  const { ceremony_id, public_key } = await call('POST', '/auth/passkeys/new', { password })
  const credential = await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(public_key) })
  await call('POST', '/auth/passkeys', { ceremony_id, credential: credential.toJSON(), name: 'this browser' })
  await call('POST', '/auth/logout')
  signedInBy({})
  return 'signed up'
})

on('sign-in', async () => {
  const { ceremony_id, public_key } = await call('POST', '/auth/passkeys/options')
  const credential = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(public_key) })
  const tokens = await call('POST', '/auth/passkeys/login', { ceremony_id, credential: credential.toJSON() })
  signedInBy(tokens)
  return 'signed in as ' + tokens.user.email
})

on('open', async () => {
  session = (await call('POST', '/sessions', { title: 'From a browser' })).id
  follow(session, (event) => {
    const item = document.createElement('li')
    item.textContent = event.seq + ' ' + event.data.text
    document.getElementById('log').append(item)
  })
  return 'opened'
})

on('write', async ({ text }) => {
  await call('POST', `/sessions/${session}/messages`, { text, client_key: crypto.randomUUID() })
  return 'sent ' + text
})
