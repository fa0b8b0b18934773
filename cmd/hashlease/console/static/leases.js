// Leases as bars over time, a lane for each feeder, and as a table.
import { $, el, night, rows, tip, tipOff } from './dom.js';
import { clock, clockShort, energy, span, watts } from './format.js';
import { now } from './stream.js';

const tones = {
  SCHEDULED: 'idle', PREPARING: 'warn', ACTIVE: 'good', DEGRADED: 'degraded', ENDING: 'note',
  COMPLETED: 'over', CANCELLED: 'over', FAILED: 'bad',
};
const final = new Set(['COMPLETED', 'CANCELLED', 'FAILED']);
const nice = [2, 5, 10, 15, 30, 60, 120, 360, 720, 1440].map((m) => m * 60000);
const steps = [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400].map((s) => s * 1000);
const label = 64; // pixels of the lanes' names
const height = 24; // of a lane
let list = [];
const bars = new Map(); // by uid
let svg = null;
let layers = null;

export function leases(body) {
  list = body;
  const shown = [...list].sort((a, b) => final.has(a.state) - final.has(b.state) || (final.has(a.state)
    ? b.end - a.end : a.start - b.start));
  rows($('leases'), shown.slice(0, 40).map(row), 'no lease yet');
  timeline();
}

function row(l) {
  const state = { text: l.state.toLowerCase(), tone: tones[l.state] ?? 'idle', title: `${l.uid}: ${l.reason}` };
  if (l.at_risk && !final.has(l.state)) state.text += ', at risk';
  return [
    state, { text: l.tenant, className: 'cut', title: l.uid }, l.feeder, watts(l.watts), l.drawn ? watts(l.drawn) : '–',
    l.freed ? watts(l.freed) : '–', clock(l.start), clock(l.end),
    l.proven && l.ordered ? span(l.proven - l.ordered) : '–', report(l),
  ];
}

// report is the delivered energy, as a link to the evidence once ordering has begun.
const links = new Map(); // by uid
function report(l) {
  const shown = l.delivered ? energy(l.delivered) : l.ordered ? 'evidence' : '–';
  if (!l.ordered) return shown;
  let a = links.get(l.uid);
  if (!a) {
    a = el('a');
    a.href = `/api/sites/${encodeURIComponent(l.site)}/report?claim=${encodeURIComponent(l.uid)}`;
    a.download = '';
    a.title = 'Download the evidence, for hashlease site verify';
    if (links.size > 1000) links.clear();
    links.set(l.uid, a);
  }
  if (a.textContent !== shown) a.textContent = shown;
  return a;
}

// frame is the time shown: what lives, what has just ended, and some room around now.
function frame(t) {
  let past = nice[0];
  let future = nice[0];
  for (const l of list) {
    const over = final.has(l.state) ? l.ended || l.end : 0;
    if (over && over < t - 15 * 60000) continue;
    past = Math.max(past, t - l.order);
    if (!over) future = Math.max(future, l.end - t);
  }
  const round = (v, most) => nice.find((n) => n >= v && n <= most) ?? most;
  return [t - round(past, 30 * 60000), t + round(future, 360 * 60000)];
}

// lanes packs the leases of each feeder so that none covers another.
function lanes(from, to) {
  const feeders = new Map();
  const within = list.filter((l) => until(l) > from && l.order < to);
  for (const l of within.sort((a, b) => a.feeder.localeCompare(b.feeder, 'en', { numeric: true }) || a.order - b.order)) {
    const rows = feeders.get(l.feeder) ?? feeders.set(l.feeder, []).get(l.feeder);
    const free = rows.find((r) => until(r.at(-1)) <= l.order);
    if (free) free.push(l);
    else if (rows.length < 6) rows.push([l]);
  }
  return feeders;
}

const until = (l) => Math.max(l.end, final.has(l.state) ? l.gone : l.state === 'ENDING' ? now() : 0);

function node(name, attributes = {}, parent = null) {
  const n = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [k, v] of Object.entries(attributes)) n.setAttribute(k, v);
  parent?.append(n);
  return n;
}

function make() {
  svg = node('svg', {}, $('timeline'));
  layers = Object.fromEntries(['lanes', 'grid', 'bars', 'now'].map((k) => [k, node('g', {}, svg)]));
}

export function timeline() {
  if (!svg) make();
  const width = $('timeline').clientWidth;
  if (width === 0) return;
  const t = now();
  const [from, to] = frame(t);
  const x = (ms) => label + ((Math.min(Math.max(ms, from), to) - from) / (to - from)) * (width - label);
  const feeders = lanes(from, to);
  const seen = new Set();
  let y = 0;
  layers.lanes.replaceChildren();
  for (const [id, packed] of feeders) {
    const tall = packed.length * height;
    node('rect', { class: 'lane', x: 0, y, width, height: tall, rx: 4 }, layers.lanes);
    node('text', { x: 6, y: y + height / 2 + 4 }, layers.lanes).textContent = id;
    packed.forEach((row, i) => row.forEach((l) => {
      seen.add(l.uid);
      place(l, x, y + i * height, t);
    }));
    y += tall + 4;
  }
  if (feeders.size === 0) {
    node('text', { x: width / 2, y: 34, 'text-anchor': 'middle' }, layers.lanes).textContent = 'no lease in this time';
    y = 60;
  }
  for (const [uid, b] of bars) {
    if (!seen.has(uid)) {
      b.g.remove();
      bars.delete(uid);
    }
  }
  axis(x, from, to, y, width, t);
  const tall = y + 22;
  svg.setAttribute('viewBox', `0 0 ${width} ${tall}`);
  svg.setAttribute('height', tall);
}

function axis(x, from, to, y, width, t) {
  const most = (width - label) / 84;
  const step = steps.find((s) => (to - from) / s <= most) ?? steps.at(-1);
  layers.grid.replaceChildren();
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    node('line', { class: 'grid', x1: x(at), x2: x(at), y1: 0, y2: y }, layers.grid);
    if (x(at) > label + 24 && x(at) < width - 24) {
      node('text', { x: x(at), y: y + 15, 'text-anchor': 'middle' }, layers.grid).textContent = clockShort(at, step);
    }
  }
  layers.now.replaceChildren();
  node('line', { class: 'now', x1: x(t), x2: x(t), y1: 0, y2: y + 2 }, layers.now);
}

// place puts a lease's bar where it belongs: the notice faint, the slot full, what is over paler.
function place(l, x, y, t) {
  let b = bars.get(l.uid);
  if (!b) {
    const g = node('g', {}, layers.bars);
    b = { g, notice: node('rect', { class: 'notice' }, g), slot: node('rect', { class: 'slot' }, g),
      done: node('rect', { class: 'done' }, g), name: node('text', { class: 'bar-text' }, g), lease: l };
    g.addEventListener('pointermove', (e) => tip(e, lines(b.lease)));
    g.addEventListener('pointerleave', tipOff);
    bars.set(l.uid, b);
  }
  b.lease = l;
  b.g.setAttribute('class', `lease ${l.state}`);
  const end = until(l);
  box(b.notice, x(l.order), x(l.start), y);
  box(b.slot, x(l.start), x(end), y);
  box(b.done, x(l.start), final.has(l.state) ? x(l.start) : x(Math.min(t, end)), y);
  const room = Math.floor((x(end) - x(l.start) - 10) / 7);
  const words = [`${l.tenant} ${watts(l.watts)}`, watts(l.watts), ''].find((s) => s.length <= room) ?? '';
  b.name.setAttribute('x', x(l.start) + 6);
  b.name.setAttribute('y', y + height / 2 + 4);
  if (b.name.textContent !== words) b.name.textContent = words;
}

function box(rect, x1, x2, y) {
  const width = Math.max(0, x2 - x1);
  for (const [k, v] of Object.entries({ x: x1, y: y + 3, width, height: height - 6, rx: Math.min(3, width / 2) })) {
    rect.setAttribute(k, v);
  }
  rect.setAttribute('visibility', width > 0 ? 'visible' : 'hidden');
}

function lines(l) {
  return [
    `${l.tenant}: ${watts(l.watts)} on ${l.feeder}`,
    `${l.state}${l.reason ? `, ${l.reason}` : ''}`,
    `${clock(l.start)} to ${clock(l.end)} (${span(l.end - l.start)})`,
    l.ordered ? `first order ${clock(l.ordered)}` : '',
    l.proven ? `proof at the meter ${clock(l.proven)}` : '',
    l.drawn || l.delivered ? `draws ${watts(l.drawn)}, ${energy(l.delivered)} delivered` : '',
    l.shortfall ? `${span(l.shortfall)} without proof` : '',
    l.uid,
  ];
}

night.addEventListener('change', timeline);
new ResizeObserver(timeline).observe($('timeline'));
