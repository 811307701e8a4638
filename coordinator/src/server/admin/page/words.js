// Numbers and times as words.

const count = n => Math.round(n).toLocaleString('en')
const few = n => n >= 100 ? count(n) : n >= 10 || n === 0 ? n.toFixed(0) : n.toFixed(1)
// Rounded down, as everywhere: 100 % is for all of them.
const percent = (part, all) => all > 0 ? `${(Math.floor(1000 * Math.min(1, Math.max(0, part / all)) + 1e-9) / 10).toFixed(1)}\u00a0%` : '–'
const plural = (n, word, words = `${word}s`) => `${count(n)} ${n === 1 ? word : words}`
function bytes(n) {
  let unit = 0
  for (; n >= 1024 && unit < 4; unit++) n /= 1024
  return `${unit && n < 100 ? n.toFixed(1) : Math.round(n)}\u00a0${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`
}
const millis = n => n >= 1000 ? `${(n / 1000).toFixed(n >= 10000 ? 0 : 1)}\u00a0s` : `${n >= 10 || n === 0 ? n.toFixed(0) : n >= 1 ? n.toFixed(1) : n.toFixed(2)}\u00a0ms`
const latency = ({count: n, p99}) => n ? `≤\u00a0${millis(p99)}` : '–'
function lasting(seconds) {
  const [s, unit, n] = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']].map(([s, unit]) => [s, unit, seconds / s]).find(([s, , n]) => n >= 2 || s === 1)
  return `${Math.floor(s === 1 ? Math.max(0, n) : n)}\u00a0${unit}`
}
const ago = ms => ms < 1000 ? 'now' : `${lasting(ms / 1000)} ago`
const clock = at => new Date(at).toLocaleTimeString('en-GB')
const byCount = counts => Object.entries(counts).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1])
function matches({service, hosts, paths, exclude} = {}) {
  const text = rule => Object.entries(rule).map(([kind, text]) => `${kind === 'exact' ? '' : kind + ' '}${typeof text === 'object' ? Object.values(text)[0] : text}`).join(' ')
  const rules = list => (list ?? []).map(text).join(', ')
  return [service ?? (hosts ?? []).join(', '), rules(paths), exclude?.length && `without ${rules(exclude)}`].filter(Boolean).join(': ')
}
