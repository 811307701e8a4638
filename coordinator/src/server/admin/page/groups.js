// The groups: a row each, which opens.

const ORDER = ['hot', 'hit', 'stale', 'revalidated', 'miss', 'loading', 'pass', 'uncached', 'observed', 'failed', 'error']
const GROUP_COLUMNS = [['Group'], ['Mode', 'wide'], ['Saved', 'n'], ['Requests', 'n wide'], ['a second', 'n'], ['Trend', 'wide'], ['Outcomes'],
  ['Responses', 'n wide'], ['Bytes', 'n wide'], ['p99 of hits', 'n wide'], ['p99 of loads', 'n wide']]

function beginGroups() {
  const heads = GROUP_COLUMNS.map(([name, kind]) => make('th', {scope: 'col', class: kind}, name))
  $('groups').append(make('caption', {class: 'heard'}, 'Groups, in the order in which they are tried'), make('thead', {}, make('tr', {}, ...heads)))
}

const partsOf = outcomes => {
  const known = byCount(outcomes)
  const place = ([word]) => ORDER.includes(word) ? ORDER.indexOf(word) : ORDER.length
  return known.sort((a, b) => place(a) - place(b))
}

function drawOutcomes(svg, outcomes) {
  const parts = partsOf(outcomes), all = parts.reduce((sum, [, n]) => sum + n, 0)
  const text = parts.map(([word, n]) => `${word} ${percent(n, all)}`).join(', ') || 'no requests'
  mark(svg, 'aria-label', text)
  say(svg.querySelector('title') ?? svg.appendChild(make('title')), text)
  let from = 0
  parts.forEach(([word, n], i) => {
    const rect = svg.children[i + 1] ?? svg.appendChild(make('rect'))
    const wide = 100 * n / all
    mark(rect, 'class', `o-${ORDER.includes(word) ? word : 'other'}`)
    mark(rect, 'x', from.toFixed(2)); mark(rect, 'width', Math.max(0, wide - (i + 1 < parts.length ? .4 : 0)).toFixed(2))
    from += wide
  })
  while (svg.children.length > parts.length + 1) svg.lastChild.remove()
}

function beginGroup(group) {
  const button = make('button', {type: 'button', class: 'open', 'aria-expanded': 'false'}, group.name)
  const cells = GROUP_COLUMNS.slice(1).map(([, kind]) => make('td', {class: kind}))
  cells[4].append(make('svg', {class: 'trend', viewBox: '0 0 60 20', preserveAspectRatio: 'none', 'aria-hidden': 'true'}))
  cells[5].append(make('svg', {class: 'outcomes', viewBox: '0 0 100 10', preserveAspectRatio: 'none', role: 'img'}))
  const at = make('tbody', {}, make('tr', {}, make('th', {scope: 'row'}, button), ...cells))
  button.addEventListener('click', () => {
    const opens = !at.children[1]
    mark(button, 'aria-expanded', String(opens))
    if (opens) { at.append(beginDetail()); fillDetail(at.children[1], at.group) } else at.children[1].remove()
  })
  return at
}

function fillGroup(at, group) {
  at.group = group
  const {saved, modes, numbers, hits, misses} = group, rate = rateOf(group.points)
  const [, mode, share, requests, second, trend, outcomes, entries, held, hit, miss] = at.children[0].children
  say(mode, modes.join(' / ') + (group.notForProxies ? ', not for proxies' : ''))
  say(share, percent(saved.saved, saved.requests)); say(requests, count(saved.requests)); say(second, rate ? few(rate.requests) : '–')
  drawTrend(trend.firstChild, group.points); drawOutcomes(outcomes.firstChild, group.outcomes)
  say(entries, count(numbers.entries)); say(held, bytes(numbers.bytes)); say(hit, latency(hits)); say(miss, latency(misses))
  if (at.children[1]) fillDetail(at.children[1], group)
}

const FACTS = [
  ['Matches', group => matches(group.match)],
  ['Origin', group => group.origin],
  ['Mode', group => group.modes.join(' / ')],
  ['Not for proxies', group => group.notForProxies],
  ['Requests', group => `${count(group.saved.requests)}, of which ${count(Math.max(0, group.saved.saved))} were saved`],
  ['Herds', group => `${count(group.saved.herds)} saved ${plural(group.saved.herdLoads, 'load')}`],
  ['Stored', ({numbers}) => `${plural(numbers.entries, 'response')}, ${bytes(numbers.bytes)}; ${plural(numbers.evictions, 'response')} made room for others`],
  ['Loads', ({numbers}) => `${plural(numbers.loading, 'load')} in progress, ${plural(numbers.waiting, 'request')} wait for a place`],
  ['p99', ({hits, misses}) => `hits ${latency(hits)}, loads ${latency(misses)}, at the slowest coordinator`],
  ['Rules', group => `digest ${group.digests.map(digest => digest.slice(0, 12)).join(' / ')}`],
]

function beginDetail() {
  const [outcomes, reasons] = [make('table'), make('table')]
  const facts = make('dl', {class: 'facts'})
  const at = make('tr', {class: 'detail'}, make('td', {colspan: GROUP_COLUMNS.length}, facts,
    make('div', {class: 'side'},
      make('div', {}, make('h3', {}, 'Outcomes'), make('div', {}, outcomes), make('p', {class: 'quiet none', hidden: ''}, 'No request yet.')),
      make('div', {}, make('h3', {}, 'Reasons: not from the cache, or not stored'), make('div', {}, reasons), make('p', {class: 'quiet none', hidden: ''}, 'None.'))),
    make('div')))
  const counted = first => [[first, ({id}) => first === 'Reason' ? reasonLink(id) : id], ['Requests', ({n}) => count(n), 'n'], ['Share', ({n, all}) => percent(n, all), 'n']]
  at.parts = {facts, outcomes: table(outcomes, 'Outcomes', counted('Outcome')), reasons: table(reasons, 'Reasons', counted('Reason')), evidence: at.firstChild.lastChild}
  return at
}

function fillDetail(at, group) {
  const {facts, outcomes, reasons, evidence} = at.parts
  const told = FACTS.map(([name, value]) => ({id: name, value: value(group)})).filter(({value}) => value)
  keyed(facts, told, ({id}) => make('div', {class: 'fact'}, make('dt', {}, id), make('dd')), (fact, {value}) => say(fact.lastChild, value))
  const rows = (parts, all = parts.reduce((sum, [, n]) => sum + n, 0)) => parts.map(([id, n]) => ({id, n, all}))
  outcomes(rows(partsOf(group.outcomes)))
  reasons(rows(byCount(group.reasons), Math.max(group.saved.requests, ...Object.values(group.reasons))))
  showEvidence(evidence, group.observed)
}

// What `mode: observe` has seen: the verdict of each coordinator that has seen something, or one that all share.
function showEvidence(at, observed) {
  at.hidden = observed.length === 0
  const verdicts = new Map()
  for (const {at: name, compared, mismatches, verdict} of observed) {
    const same = verdicts.get(verdict.text) ?? {id: verdict.text, verdict, names: [], compared: 0, mismatches: 0}
    same.names.push(name); same.compared += compared; same.mismatches += mismatches
    verdicts.set(verdict.text, same)
  }
  if (!at.firstChild) {
    const inside = make('table')
    at.append(make('h3', {}, 'Observed'), make('div'), make('div', {class: 'scroll', tabindex: 0, role: 'group', 'aria-label': 'Last differences'}, inside),
      make('p', {class: 'quiet none', hidden: ''}, 'No difference so far.'))
    at.differences = table(inside, 'Last differences', [
      ['URL', one => ({text: one.url, class: 'url'})], ['Differs', one => one.differs.join(', ')],
      ['Would tell them apart', one => one.candidates.join(', ') || 'nothing that was seen'],
      ['When', one => ago(one.ago), 'n'], ['Told', one => one.told ? 'told by a proxy' : `seen by ${one.at}`, 'quiet']])
  }
  const begin = ({verdict}) => make('div', {}, make('p', {class: verdict.safe ? 'good' : 'bad'}, make('b')), make('p', {class: 'quiet'}), verdict.yaml ? copyable(verdict.yaml) : null)
  keyed(at.children[1], [...verdicts.values()].map(one => ({...one, id: `${one.id}\n${one.verdict.yaml ?? ''}`})), begin, (shown, {verdict, names, compared, mismatches}) => {
    say(shown.firstChild.firstChild, verdict.text)
    say(shown.children[1], `${names.join(', ')}: ${count(compared)} compared, ${count(mismatches)} differ`)
  })
  const last = observed.flatMap(({last, at}) => last.map(one => ({...one, at})))
  at.differences(last.sort((a, b) => a.ago - b.ago).slice(0, 20).map((one, id) => ({...one, id})))
}
