// Looks every two seconds, and not while the page is hidden or paused.

const EVERY = 2000, PATIENCE = 8000
const rates = new Rates()
let lastAt, paused = false, timer, looking = false, sees = false

// Not relative to the page: where its URL has the password in it, browsers refuse such a request.
async function ask(path, body) {
  const url = new URL(path, location.origin + location.pathname)
  const post = body && {method: 'POST', headers: {'content-type': 'application/json', 'meshcache-request': '1'}, body: JSON.stringify(body)}
  let response
  try { response = await fetch(url, {...post, signal: AbortSignal.timeout(body ? 60000 : PATIENCE)}) }
  catch (error) { throw Error(error.name === 'TimeoutError' ? 'no answer in time' : 'the coordinator is not reached') }
  const text = await response.text()
  let said
  try { said = JSON.parse(text) } catch { said = undefined }
  if (response.ok && said) return said
  const known = {401: 'the token is refused: load the page again', 404: 'this coordinator does not know that', 405: 'this coordinator does not know that'}
  throw Object.assign(Error(said?.error ?? known[response.status] ?? (text.trim().slice(0, 300) || `status ${response.status}`)), {status: response.status})
}

function show(mesh) {
  const now = Date.now()
  rates.take(performance.now() / 1000, mesh)
  const groups = groupsOf(mesh).map(group => ({...group, points: rates.groups.get(group.name)}))
  showSaved(mesh, rates); showProblems(mesh)
  keyed($('groups'), [{id: 'caption'}, {id: 'head'}, ...groups], beginGroup, (at, group) => { if (group.name !== undefined) fillGroup(at, group) })
  showLists(mesh, now); showGroupNames(groups)
  say($('told-by'), `told by ${mesh.me},`)
  lastAt = now
}

function state(text, isBad) {
  say($('as-of'), text)
  mark($('state'), 'class', isBad && 'bad')
  document.body.classList.toggle('stale', isBad)
}

async function look() {
  clearTimeout(timer)
  if (looking || paused || document.hidden) return
  looking = true
  const top = sees && ask('top?by=keys&limit=10').then(showTop, error => { if (error.status) say($('keys-note'), 'This coordinator does not tell of keys.') })
  try {
    show(await ask('mesh'))
    if (document.body.classList.contains('stale')) announce('The coordinator answers again.')
    state(`as of ${clock(lastAt)}`, false)
  } catch (error) {
    if (!document.body.classList.contains('stale')) announce(`No new figures: ${error.message}.`)
    state(`${lastAt ? `as of ${clock(lastAt)}` : 'no figures'}: ${error.message}`, true)
  }
  await Promise.resolve(top).catch(() => {})
  looking = false
  timer = setTimeout(look, EVERY)
}

beginGroups(); beginLists(); beginWhy(); beginPurge()
$('docs').href = `${DOCS}README.md`
$('groups').known = new Map([['caption', $('groups').children[0]], ['head', $('groups').children[1]]])
$('purge-group').known = new Map([['', $('purge-group').firstElementChild]])
$('pause').addEventListener('click', () => {
  paused = !paused
  mark($('pause'), 'aria-pressed', String(paused))
  if (!paused) look()
  else if (lastAt) say($('as-of'), `paused, as of ${clock(lastAt)}`)
})
document.addEventListener('visibilitychange', look)
// Keys are counted only while somebody sees their table.
new IntersectionObserver(([{isIntersecting}]) => { sees = isIntersecting }).observe($('keys-of'))
look()
