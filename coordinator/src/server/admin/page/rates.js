// Rates: what came between two looks, for each coordinator by itself. One that starts anew, or gave no answer, adds nothing
// for that time, and so no number falls.

// A time without looks is no point of a trend, s.
const POINTS = 60, LATELY = 5, LONG = 15

class Rates {
  #before = new Map()
  #at = 0
  all = []
  groups = new Map()

  // Times in seconds.
  take(at, mesh) {
    const took = at - this.#at
    if (took > LONG) this.#before.clear()
    const [sums, now] = [new Map(), new Map()]
    for (const {name, state} of answering(mesh)) {
      const before = this.#before.get(name)
      now.set(name, {up: state.upSeconds, groups: new Map(state.groups.map(group => [group.name, group.saved]))})
      for (const {name: group, saved} of state.groups) {
        const sum = sums.get(group) ?? {requests: 0, saved: 0}
        const then = before && state.upSeconds >= before.up && before.groups.get(group)
        if (then) { sum.requests += Math.max(0, saved.requests - then.requests); sum.saved += saved.saved - then.saved }
        sums.set(group, sum)
      }
    }
    if (this.#before.size) {
      const all = {requests: 0, saved: 0}
      for (const [group, sum] of sums) {
        addTo(all, sum)
        this.groups.set(group, [...(this.groups.get(group) ?? []), {...sum, took}].slice(-POINTS))
      }
      this.all = [...this.all, {...all, took}].slice(-POINTS)
    }
    for (const group of this.groups.keys()) if (!sums.has(group)) this.groups.delete(group)
    this.#before = now; this.#at = at
  }
}

// Of the last few looks, a second.
function rateOf(points = []) {
  const sum = {requests: 0, saved: 0, took: 0}
  for (const point of points.slice(-LATELY)) addTo(sum, point)
  return sum.took ? {requests: sum.requests / sum.took, saved: sum.saved, all: sum.requests} : undefined
}

// Two areas in a box of 60 by 20: all requests, and those of them that were saved.
function drawTrend(svg, points = []) {
  if (!svg.firstChild) svg.append(make('path'), make('path', {class: 'saved'}))
  const most = Math.max(...points.map(point => point.requests / point.took), 1e-9)
  const area = value => {
    const line = points.map((point, i) => `${60 - points.length + i + 1} ${(20 - 20 * Math.min(1, Math.max(0, value(point) / point.took / most))).toFixed(2)}`)
    return points.length > 1 ? `M${61 - points.length} 20L${line.join('L')}L60 20Z` : ''
  }
  mark(svg.children[0], 'd', area(point => point.requests))
  mark(svg.children[1], 'd', area(point => Math.min(point.saved, point.requests)))
}
