// The box for `why`: what is asked, and the answer.

function whyButton(name) {
  const button = make('button', {type: 'button', 'aria-label': `Why is ${name} cached, or not?`}, 'Why')
  button.addEventListener('click', () => {
    $('why-url').value = name.includes('://') ? name : `http://${name}`
    $('why-of').scrollIntoView()
    $('why').requestSubmit()
  })
  return button
}

function beginWhy() {
  $('why').addEventListener('submit', async event => {
    event.preventDefault()
    const headers = $('why-headers').value.split('\n').map(line => line.trim()).filter(Boolean)
    $('why-said').textContent = 'Asking all coordinators …'
    $('why-answer').replaceChildren()
    try {
      const why = await ask('why', {url: $('why-url').value.trim(), headers, probe: $('why-probe').checked})
      $('why-said').replaceChildren(make('b', {}, why.summary))
      $('why-answer').replaceChildren(...explained(why))
    } catch (error) { $('why-said').textContent = error.message }
  })
}

const facts = list => make('dl', {class: 'facts'}, ...list.filter(([, value]) => value).map(([name, value]) => make('div', {class: 'fact'}, make('dt', {}, name), make('dd', {}, value))))

function explained(why) {
  const word = why.requestReason
  return [
    facts([['URL', why.url], ['Group', why.group ?? 'no group takes it'], ['Rule', why.rule], ['Passes because of', word && doc(`reasons.md#${word}`, word)],
      ['Owner', why.owner], ['Next peer', why.next], ['Hash of the key', why.keyHash && make('code', {}, why.keyHash)]]),
    ...why.advice.map(advised),
    ...why.at.flatMap(one => atCoordinator(one, why)),
    ...why.key.length ? [make('h3', {}, 'Key'), listing('The parts of the key', [['Part', part => part.name], ['Value', part => ({text: part.value, class: 'url'})]], why.key)] : [],
    ...why.hops.length ? [make('h3', {}, 'Asked once'), listing('Hops of the request', [['At', hop => hop.at], ['What', hop => hop.what], ['Took', hop => millis(hop.took), 'n']], why.hops)] : [],
  ]
}

function advised({reason, text, yaml, diff}) {
  const at = make('section', {'aria-label': reason ? `What to change: ${reason}` : 'What to do'},
    make('h3', {}, ...reason ? ['What to change: ', doc(`reasons.md#${reason}`, reason)] : ['What to do']), make('p', {}, text))
  if (diff) {
    const kinds = {'+': 'plus', '-': 'minus'}
    at.append(make('pre', {}, ...diff.split('\n').map(line => make('span', {class: /^(---|\+\+\+)/.test(line) ? null : kinds[line[0]]}, `${line}\n`))))
  }
  if (yaml) at.append(make('details', {}, make('summary', {}, 'The group with the change, as YAML'), copyable(yaml)))
  return at
}

function atCoordinator(one, why) {
  const role = one.name === why.owner ? ', the owner' : one.name === why.next ? ', the next peer' : ''
  const said = []
  const add = text => said.push(make('p', {}, text))
  if (one.unreached) add(`It does not answer: ${one.unreached}`)
  else if (!one.hasLease) add('It answers nothing from its store: it may have missed purges.')
  if (one.loading !== null && one.loading !== undefined) add(`A load is in progress; ${plural(one.loading, 'request')} wait for it.`)
  if (one.passesFor) add(`Requests pass at once for ${millis(one.passesFor)} more, because of the last reason.`)
  if (one.stored.length) {
    said.push(listing(`Stored at ${one.name}`, [
      ['Status', kept => kept.status], ['Answers', kept => kept.answers ? {text: 'yes', class: 'good'} : `no: ${kept.whyNot ?? '?'}`],
      ['Age', kept => lasting(kept.age), 'n'], ['Fresh for', kept => kept.ttl >= 0 ? lasting(kept.ttl) : `stale for ${lasting(-kept.ttl)}`, 'n'],
      ['By', kept => kept.lifetimeBy], ['Kept as', kept => kept.keptAs, 'wide'], ['Body', kept => bytes(kept.bytes), 'n wide'],
      ['Vary', kept => kept.vary.join(', ') || '–', 'wide'], ['Tags', kept => kept.tags.join(' ') || '–', 'wide']], one.stored))
  } else if (!one.unreached) add(one.storedAgo > 0 ? `Nothing is stored now; the last response was stored ${ago(one.storedAgo)}.` : 'Nothing is stored.')
  if (one.last.length) {
    said.push(listing(`Last reasons at ${one.name}`, [
      ['Last reason', last => reasonLink(last.reason)], ['When', last => ago(last.ago), 'n'], ['Origin', last => last.status ?? 'no response'],
      ['What decided', last => ({text: last.decided.join('; ') || '–', class: 'url'})]], one.last))
  }
  return [make('h3', {}, one.name + role), ...said]
}
