// One view of all coordinators: sums, and what is wrong. It only reads what /mesh said.

const answering = mesh => mesh.coordinators.filter(one => one.state)

function addTo(sum, counts) {
  for (const [word, n] of Object.entries(counts)) sum[word] = (sum[word] ?? 0) + n
}
// Of each coordinator's bounds the highest: 99 of 100 took no longer at any of them.
function slower(a, b) {
  return {count: a.count + b.count, p50: Math.max(a.p50, b.p50), p99: Math.max(a.p99, b.p99)}
}
const NO_TIME = {count: 0, p50: 0, p99: 0}

function groupsOf(mesh) {
  const groups = new Map()
  for (const {name: at, state} of answering(mesh)) {
    for (const one of state.groups) {
      const sum = groups.get(one.name) ?? {id: one.name, name: one.name, match: one.match, origin: one.origin, notForProxies: one.notForProxies,
        modes: [], digests: [], saved: {}, outcomes: {}, reasons: {}, numbers: {}, hits: NO_TIME, misses: NO_TIME, observed: []}
      if (!sum.modes.includes(one.mode)) sum.modes.push(one.mode)
      if (!sum.digests.includes(one.digest)) sum.digests.push(one.digest)
      addTo(sum.saved, one.saved); addTo(sum.outcomes, one.outcomes); addTo(sum.reasons, one.reasons)
      const {entries, bytes, evictions, loading, waiting} = one
      addTo(sum.numbers, {entries, bytes, evictions, loading, waiting})
      sum.hits = slower(sum.hits, one.hits); sum.misses = slower(sum.misses, one.misses)
      if (one.observed) sum.observed.push({...one.observed, at})
      groups.set(one.name, sum)
    }
  }
  return [...groups.values()]
}

function originsOf(mesh) {
  const origins = new Map()
  for (const {state} of answering(mesh)) {
    for (const one of state.origins) {
      const sum = origins.get(one.origin) ?? {id: one.origin, groups: [], requests: 0, failures: {}, failedAgo: null, took: NO_TIME}
      sum.groups = [...new Set([...sum.groups, ...one.groups])]
      sum.requests += one.requests
      addTo(sum.failures, one.failures)
      if (one.failedAgo !== null) sum.failedAgo = Math.min(one.failedAgo, sum.failedAgo ?? Infinity)
      sum.took = slower(sum.took, one.took)
      origins.set(one.origin, sum)
    }
  }
  const fails = one => one.failedAgo !== null && one.failedAgo < FAILING ? 1 : 0
  return [...origins.values()].sort((a, b) => fails(b) - fails(a) || b.took.p99 - a.took.p99 || b.requests - a.requests)
}

// For so long after its last failure an origin counts as failing, ms.
const FAILING = 60000

// What is wrong: the same `id` is the same thing as before.
function problemsOf(mesh) {
  const wrong = []
  const add = (id, text, runbook, more = {}) => wrong.push({id, text, runbook, ...more})
  const answered = answering(mesh)
  const differ = (what, value) => {
    const by = new Map()
    for (const one of answered) by.set(value(one.state), [...(by.get(value(one.state)) ?? []), one.name])
    return by.size > 1 && [...by].map(([which, names]) => `${names.join(', ')} ${names.length === 1 ? 'has' : 'have'} ${which.slice(0, 12) || 'none'}`).join('; ')
  }
  for (const {name, unreached, state} of mesh.coordinators) {
    if (!state) add(`unreached ${name}`, `${name} does not answer: ${unreached ?? 'no reason given'}. Its figures are missing in the sums.`, 'MeshcacheCoordinatorsMissing')
    if (state?.notReady) add(`not ready ${name}`, `${name} is not ready: ${state.notReady}`, 'MeshcacheCoordinatorsMissing')
    else if (state && !state.hasLease) add(`lease ${name}`, `${name} answers nothing from its store: it may have missed purges, since it does not hear most of its peers.`, 'MeshcachePurgeLeaseLost')
    if (state?.config.refused) add(`refused ${name}`, `${name} refuses the configuration as it is now, and goes on with the one before:`, 'MeshcacheReloadFailed', {said: state.config.refused})
  }
  const rings = differ('ring', state => state.ring)
  if (rings) add('ring', `The coordinators do not agree on the ring: ${rings}.`, 'MeshcacheRingsDisagree')
  const configs = differ('configuration', state => state.config.digest)
  if (configs) add('config', `The coordinators have different configurations: ${configs}.`, 'MeshcacheConfigurationsDisagree')
  for (const {id, failures, failedAgo, requests} of originsOf(mesh)) {
    if (failedAgo === null || failedAgo >= FAILING) continue
    const [[reason] = ['']] = byCount(failures)
    const all = Object.values(failures).reduce((sum, n) => sum + n, 0)
    add(`origin ${id}`, `${id} fails: ${count(all)} of ${plural(requests, 'request')} so far, most by ${reason}.`, 'MeshcacheOriginFails')
  }
  const versions = differ('version', state => state.version)
  if (versions) add('version', `The coordinators are of different versions: ${versions}.`, undefined, {fair: true, page: 'kubernetes.md#upgrades-and-gitops'})
  return wrong
}
