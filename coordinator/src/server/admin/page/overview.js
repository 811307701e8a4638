// The one number, and what is wrong now.

function showSaved(mesh, rates) {
  const {saved: {requests, saved, herds, herdLoads}} = mesh
  say($('share'), requests ? saved > 0 ? percent(saved, requests) : 'nothing' : '–')
  say($('of'), requests ? `of ${plural(requests, 'request')}` : 'no requests yet')
  say($('herds'), herds ? `${plural(herds, 'herd')} saved ${plural(herdLoads, 'load')}` : 'no herd yet: no load that several requests waited for')
  const rate = rateOf(rates.all)
  say($('rate'), rate ? few(rate.requests) : '–')
  say($('rate-saved'), rate && rate.all > 0 ? `${percent(rate.saved, rate.all)} of them saved, the last two minutes above` : 'nothing is asked for now')
  drawTrend($('trend'), rates.all)
}

let heard
function showProblems(mesh) {
  const wrong = problemsOf(mesh)
  const [answered, all] = [answering(mesh).length, mesh.coordinators.length]
  say($('well'), `Nothing is wrong: ${answered} of ${plural(all, 'coordinator')} answered, and ${all === 1 ? 'it is ready' : 'they agree on ring and configuration'}.`)
  $('well').hidden = wrong.length > 0
  const begin = ({runbook, page, said}) => make('li', {}, make('span'), said !== undefined ? make('pre') : null, ' ', doc(page ?? `runbooks.md#${runbook.toLowerCase()}`, 'What to do'))
  keyed($('problems'), wrong, begin, (at, {text, said, fair}) => {
    mark(at, 'class', fair && 'fair')
    say(at.firstChild, text)
    if (said !== undefined) say(at.querySelector('pre'), said)
  })
  // Heard when something begins or ends, not at each look.
  const now = wrong.map(one => one.id).join('\n')
  if (now !== (heard ?? '')) announce(wrong.length ? `${plural(wrong.length, 'problem')}. ${wrong.map(one => one.text).join(' ')}` : 'Nothing is wrong any more.')
  heard = now
}
function announce(text) { $('news').textContent = text }
