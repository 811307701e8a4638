// The purge form. What would go is counted first; only then there is a button that does it.

function purgeOf() {
  const way = $('purge-way').value, lines = $('purge-values').value.split('\n').map(line => line.trim()).filter(Boolean)
  const hosts = $('purge-hosts').value.split(/[\s,]+/).filter(Boolean), group = $('purge-group').value
  const body = {soft: $('purge-soft').checked}
  if (way === 'all') return {...body, all: true}
  if (way === 'urls') return {...body, urls: lines}
  if (way !== 'hosts' && group) body.group = group
  if (hosts.length) body.hosts = hosts
  // A whole group has to be named. Of all groups: on any host.
  else if (!body.group && way !== 'group' && way !== 'hosts') body.hosts = ['*']
  return way === 'group' || way === 'hosts' ? body : {...body, [way]: lines}
}

const VALUES = {urls: ['URLs', 'http://shop.example/a?b=1'], paths: ['Paths', '/a?b=1'], prefixes: ['Prefixes', '/a/'],
  regex: ['Regular expressions of the whole path and query', '/a/[0-9]+.*'], tags: ['Tags', 'billing']}

function beginPurge() {
  let counted
  const changed = () => {
    counted = undefined
    $('purge-now').hidden = true
    const way = $('purge-way').value
    for (const part of document.querySelectorAll('#purge [data-for]')) part.hidden = !part.dataset.for.split(' ').includes(way)
    const [values, example] = VALUES[way] ?? ['', '']
    say($('purge-values-name'), `${values}, one a line`)
    $('purge-values').placeholder = example
  }
  const order = async body => {
    const {id, entries, bytes: held, unreached} = await ask('purge', body)
    return {id, what: `${plural(entries, 'response')} (${bytes(held ?? 0)})`, missing: unreached.length ? ` ${unreached.join(', ')} ${unreached.length === 1 ? 'has' : 'have'} not answered` : ''}
  }
  $('purge').addEventListener('input', () => { changed(); $('purge-said').textContent = '' })
  $('purge').addEventListener('submit', async event => {
    event.preventDefault()
    const body = purgeOf()
    changed()
    try {
      const {what, missing} = await order({...body, dryRun: true})
      // What was changed while it was counted has not been counted.
      if (JSON.stringify(purgeOf()) !== JSON.stringify(body)) return
      counted = body
      $('purge-said').textContent = `${body.soft ? 'Would make stale' : 'Would remove'}: ${what}.${missing && `${missing}: what they have is not counted.`} Nothing has been purged.`
      $('purge-now').textContent = body.soft ? `Make ${what} stale` : `Purge ${what}`
      $('purge-now').hidden = false
    } catch (error) { $('purge-said').textContent = error.message }
  })
  $('purge-now').addEventListener('click', async () => {
    const body = counted
    if (!body) return
    changed()
    try {
      const {id, what, missing} = await order(body)
      $('purge-said').textContent = `Purged: ${what}. ${missing ? `${missing.trim()}, and may still answer with what was purged until they have heard of it.` : 'All coordinators have carried it out; proxies do within a second.'} Its id is ${id}.`
    } catch (error) { $('purge-said').textContent = error.message }
    $('purge').querySelector('[type=submit]').focus()
    look()
  })
  changed()
}

function showGroupNames(groups) {
  keyed($('purge-group'), [{id: ''}, ...groups], ({id}) => make('option', {value: id}, id || 'any group'), () => {})
}
