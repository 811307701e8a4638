'use strict'
// Nodes. They are changed in place, and what has not changed is not touched: focus, selection and opened rows stay.
// Text is only ever text: nothing that was told becomes markup.

const $ = id => document.getElementById(id)
const DOCS = 'https://github.com/meshcache/meshcache/blob/main/docs/'
const SVG = ['svg', 'rect', 'path', 'title']

function make(tag, facts = {}, ...inside) {
  const made = SVG.includes(tag) ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag)
  for (const [name, value] of Object.entries(facts)) if (value !== undefined && value !== null) made.setAttribute(name, value)
  made.append(...inside.filter(part => part !== undefined && part !== null))
  return made
}

// Whether somebody selects some of it: then it stands still.
function isSelected(at) {
  const selection = getSelection()
  return selection.rangeCount > 0 && !selection.isCollapsed && selection.getRangeAt(0).intersectsNode(at)
}
const isInUse = at => at.contains(document.activeElement) || isSelected(at)

function say(at, text) {
  if (at.textContent === text || isSelected(at)) return
  if (at.childNodes.length === 1 && at.firstChild.nodeType === Node.TEXT_NODE) at.firstChild.data = text
  else at.textContent = text
}
function mark(at, name, value) {
  if (value === undefined || value === null || value === false) at.removeAttribute(name)
  else if (at.getAttribute(name) !== String(value)) at.setAttribute(name, value)
}

// Brings what is in `list` into line with `items`. Rows do not move under a hand: an order that has changed waits.
function keyed(list, items, begin, fill) {
  const nodes = list.known ??= new Map()
  const wanted = new Set(items.map(item => item.id))
  for (const [id, at] of nodes) if (!wanted.has(id) && !isInUse(at)) { at.remove(); nodes.delete(id) }
  const still = isInUse(list)
  items.forEach((item, i) => {
    let at = nodes.get(item.id)
    if (!at) { at = begin(item); nodes.set(item.id, at); list.append(at) }
    fill(at, item)
    if (!still && list.children[i] !== at) list.insertBefore(at, list.children[i] ?? null)
  })
}

// A table of rows with an `id` each. A column: its name, what an item says in it, and its class. What it says is a text,
// or a text with `href`, `class` or `title`; nothing: it has drawn its cell itself.
function table(at, caption, columns) {
  const head = columns.map(([name, , kind]) => make('th', {scope: 'col', class: kind}, name))
  const body = make('tbody')
  at.append(make('caption', {class: 'heard'}, caption), make('thead', {}, make('tr', {}, ...head)), body)
  const begin = () => make('tr', {}, ...columns.map(([, , kind], i) => i ? make('td', {class: kind}) : make('th', {scope: 'row', class: kind})))
  const fill = (row, item) => {
    mark(row, 'class', item.away && 'away')
    columns.forEach(([, value, kind], i) => cell(row.children[i], value(item, row.children[i]), kind))
  }
  return items => {
    keyed(body, items, begin, fill)
    at.parentNode.hidden = items.length === 0
    const none = at.parentNode.nextElementSibling
    if (none?.classList.contains('none')) none.hidden = items.length > 0
  }
}
function cell(at, value, kind) {
  if (value === undefined) return
  const {text, href, title, class: own} = typeof value === 'object' ? value : {text: value}
  mark(at, 'title', title)
  mark(at, 'class', [kind, own].filter(Boolean).join(' ') || null)
  if (!href) return say(at, text)
  if (at.firstChild?.href !== href) at.replaceChildren(link(href, text))
  else say(at.firstChild, text)
}
function listing(caption, columns, items) {
  const inside = make('table')
  const at = make('div', {class: 'scroll', tabindex: 0, role: 'group', 'aria-label': caption}, inside)
  table(inside, caption, columns)(items.map((item, id) => ({...item, id})))
  return at
}

const link = (href, text) => make('a', {href, target: '_blank', rel: 'noreferrer'}, text)
const doc = (page, text) => link(DOCS + page, text)
const reasonLink = word => ({text: word, href: `${DOCS}reasons.md#${word}`})

// Where a page may not write to the clipboard (plain http from elsewhere), the text is selected instead.
function copyable(text, show = make('pre', {}, text)) {
  const button = make('button', {type: 'button'}, 'Copy')
  button.addEventListener('click', async () => {
    try { await navigator.clipboard.writeText(text); say(button, 'Copied') }
    catch { getSelection().selectAllChildren(show); say(button, 'Selected: press Ctrl+C') }
  })
  return make('div', {}, show, button)
}
