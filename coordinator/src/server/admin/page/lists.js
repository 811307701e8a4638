// Origins, hottest keys, the ring, proxies, purges.

const TOLD = 'told by proxies: anybody\u2019s word'
let showOrigins, showKeys, showRing, showProxies, showPurges

function beginLists() {
  showOrigins = table($('origins'), 'Origins, those that fail first, then the slowest', [
    ['Origin', one => ({text: one.id, class: 'url'})], ['Groups', one => one.groups.join(', '), 'wide'],
    ['Requests', one => count(one.requests), 'n'], ['p50', one => one.took.count ? `≤\u00a0${millis(one.took.p50)}` : '–', 'n wide'],
    ['p99', one => latency(one.took), 'n'],
    ['Failures', one => ({text: byCount(one.failures).map(([reason, n]) => `${reason} ${count(n)}`).join(', ') || 'none', class: one.failedAgo !== null && one.failedAgo < FAILING ? 'bad' : undefined})],
    ['Last', one => one.failedAgo === null ? '–' : ago(one.failedAgo), 'n wide']])
  showKeys = table($('keys'), 'Hottest keys', [
    ['Host and path', one => ({text: one.name, class: 'url'})], ['Group', one => one.group ?? '–', 'wide'],
    ['a second', one => ({text: few(one.rate), title: one.rateError > 0 ? `at most ${few(one.rateError)} too high` : undefined}), 'n'],
    ['From the cache', one => percent(one.hits, 1), 'n'], ['Took', one => millis(one.took), 'n wide'], ['Bytes a second', one => bytes(one.bytes), 'n wide'],
    ['Told', one => one.told ? {text: 'by proxies', title: TOLD} : '', 'wide quiet'],
    ['Why', ({name}, at) => { if (!at.firstChild) at.append(whyButton(name)) }]])
  showRing = table($('ring'), 'Coordinators', [
    ['Coordinator', one => one.name + (one.me ? ' (this one)' : '')],
    ['State', one => ({text: one.says, class: one.says === 'ready' ? 'good' : 'bad'})],
    ['Version', one => one.state?.version ?? '–', 'wide'], ['Up', one => one.state ? lasting(one.state.upSeconds) : '–', 'n wide'],
    ['Memory', one => one.state?.memoryBytes ? bytes(one.state.memoryBytes) : '–', 'n'],
    ['Store', one => one.state ? `${bytes(one.used)} of ${bytes(one.state.storeBytes)}` : '–', 'n wide'],
    ['Configuration', one => one.state ? {text: `${one.state.config.digest.slice(0, 12)}, ${ago(one.state.config.loadedAgo)}${one.state.config.refused ? ', a newer one refused' : ''}`, class: one.state.config.refused ? 'bad' : undefined} : '–', 'wide'],
    ['Ring', one => one.state?.ring.slice(0, 12) ?? '–', 'wide'], ['Proxies', one => one.state ? count(one.state.proxyCount) : '–', 'n'],
    ['Data', one => ({text: one.data, class: 'url'}), 'wide']])
  showProxies = table($('proxies'), 'Proxies, as they tell of themselves', [
    ['Proxy', one => ({text: one.name, class: 'url'})], ['Filter', one => one.version], ['Asked last', one => ago(one.askedAgo), 'n'], ['At', one => one.at]])
  showPurges = table($('purges'), 'Last purges', [
    ['What', one => ({text: one.what, class: 'url'})], ['How', one => one.soft ? 'soft' : 'removed', 'wide'], ['Responses', one => count(one.entries), 'n'],
    ['When', one => ago(one.ago), 'n'], ['At', one => one.at, 'wide'],
    ['Acknowledged', one => one.unreached.length ? {text: `not by ${one.unreached.join(', ')}`, class: 'bad'} : 'by all'], ['Id', one => ({text: one.id, class: 'url'}), 'wide']])
}

// The last that each coordinator told stays, grey, when it gives no answer.
const lastTold = new Map()

function showLists(mesh, now) {
  showOrigins(originsOf(mesh))
  for (const name of lastTold.keys()) if (!mesh.coordinators.some(one => one.name === name)) lastTold.delete(name)
  showRing(mesh.coordinators.map(one => {
    if (one.state) lastTold.set(one.name, {state: one.state, at: now})
    const last = lastTold.get(one.name), state = one.state ?? last?.state
    const says = !one.state ? `no answer: ${one.unreached ?? '?'}${last ? `; as of ${clock(last.at)}` : ''}` : state.notReady ? `not ready: ${state.notReady}` : state.hasLease ? 'ready' : 'no lease'
    return {...one, id: one.name, me: one.name === mesh.me, state, says, away: !one.state, used: state?.groups.reduce((sum, group) => sum + group.bytes, 0)}
  }))
  const proxies = answering(mesh).flatMap(({name: at, state}) => state.proxies.map(one => ({...one, at, id: `${at} ${one.name}`})))
  showProxies(proxies.sort((a, b) => a.name < b.name ? -1 : 1))
  const all = answering(mesh).reduce((sum, {state}) => sum + state.proxyCount, 0)
  say($('proxies-note'), all ? `${plural(all, 'proxy', 'proxies')} ${all === 1 ? 'asks' : 'ask'} for the feed${all > proxies.length ? `, of which ${count(proxies.length)} are shown` : ''}. Names and versions are ${TOLD}.` : '')
  const purges = answering(mesh).flatMap(({name: at, state}) => state.purges.map(one => ({...one, at})))
  showPurges(purges.sort((a, b) => a.ago - b.ago).slice(0, 20))
}

function showTop(top) {
  showKeys(top.rows.map(row => ({...row, id: `${row.group ?? ''} ${row.name}`})))
  const missing = top.unreached.length ? ` Without ${top.unreached.join(', ')}.` : ''
  const counted = top.seconds > 0 ? top.rows.length ? `Of the last ${few(top.seconds)} s.` : 'Nothing was asked for in the last seconds.' : 'Counting has just begun.'
  say($('keys-note'), `${counted} Counted only while somebody looks.${missing}`)
}
