// Power over time, stacked, against the limit. History comes once, then the stream goes on with it.
import { $, color, el, night, text } from './dom.js';
import { clockShort, watts } from './format.js';

const columns = ['at', 'base', 'mining', 'tenant', 'bound', 'limit'];
const longest = 3700; // seconds kept
let plot = null;
let data = null; // columns by name; null while history is on its way
let chosen = ''; // "site:ID" or "feeder:ID"
let asked = 0;
let sites = '';

const seconds = () => Number(document.querySelector('input[name=span]:checked').value);

export function chart(s) {
  choices(s);
  if (chosen === '') return;
  const sample = sum(s);
  if (data && sample && sample.at > data.at.at(-1)) {
    if (sample.at - data.at.at(-1) > 10) load(); // the connection was away
    for (const c of columns) {
      data[c].push(sample[c]);
      if (data[c].length > longest) data[c].shift();
    }
  }
  draw();
}

// sum is the newest second of what is chosen.
function sum(s) {
  const [kind, id] = chosen.split(':');
  const of = s.sites.flatMap((site) => (site.feeders ?? [])
    .filter((f) => (kind === 'site' ? site.id : f.id) === id));
  if (of.length === 0 || !of.some((f) => f.reading_at > 0)) return null;
  const v = { at: Math.floor(s.at / 1000), base: 0, mining: 0, tenant: 0, bound: 0, limit: 0 };
  for (const f of of) for (const c of columns.slice(1)) v[c] += f[c];
  return v;
}

// choices fills the selector when sites or feeders are new.
function choices(s) {
  const list = JSON.stringify(s.sites.map((x) => [x.id, x.feeders?.map((f) => f.id)]));
  if (list === sites) return;
  sites = list;
  const select = $('chart-of');
  select.replaceChildren(...s.sites.map((site) => {
    const group = el('optgroup');
    group.label = site.name || site.id;
    group.append(new Option(`${site.name || site.id}, whole site`, `site:${site.id}`));
    for (const f of site.feeders ?? []) group.append(new Option(`feeder ${f.id}`, `feeder:${f.id}`));
    return group;
  }));
  if (chosen) select.value = chosen;
  if (!select.value && select.options.length) select.selectedIndex = 0;
  choose();
}

function choose() {
  chosen = $('chart-of').value;
  data = null;
  if (chosen) load();
}

async function load() {
  const mine = ++asked;
  const [kind, id] = chosen.split(':');
  const answer = await fetch(`/api/history?${new URLSearchParams({ [kind]: id })}`).catch(() => null);
  if (!answer?.ok || mine !== asked) return;
  const body = await answer.json();
  if (mine !== asked) return;
  data = body;
  if (data.at.length === 0) for (const c of columns) data[c] = [];
  draw();
}

// stack turns columns into the lines that uPlot fills between: the top line first.
function stack() {
  const n = data.at.length;
  const from = Math.max(0, n - seconds() - 2);
  const cut = (c) => data[c].slice(from);
  const base = cut('base');
  const mined = cut('mining').map((v, i) => v + base[i]);
  const total = cut('tenant').map((v, i) => v + mined[i]);
  const ceiling = cut('bound').map((v, i) => Math.max(0, v) + base[i]);
  return [cut('at'), total, mined, base, ceiling, cut('limit')];
}

function draw() {
  if (!data || data.at.length === 0) return;
  if (!plot) make();
  plot.setData(stack(), true);
  if (plot.cursor.idx === null || plot.cursor.idx === undefined) legend(data.at.length - 1);
  $('chart').dataset.points = data.at.length;
}

// start is the left edge: the wanted span, or what there is if that is less.
function start() {
  const last = data.at.at(-1);
  return Math.max(last - seconds(), Math.min(data.at[0], last - 60));
}

function fade(name, alpha) {
  return `color-mix(in srgb, ${color(name)} ${alpha}%, transparent)`;
}

function make() {
  const quiet = color('quiet');
  const axis = { stroke: quiet, font: '11px system-ui, sans-serif', ticks: { show: false } };
  const grid = { stroke: color('line'), width: 1 };
  const line = (name, width, dash) => ({ stroke: color(name), width, dash, points: { show: false } });
  plot = new uPlot({
    width: $('chart').clientWidth,
    height: $('chart').clientHeight,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { setScale: false }, points: { show: false } },
    scales: {
      x: { time: true, range: () => [start(), data.at.at(-1)] },
      y: { range: (_, __, max) => [0, Math.max(1, max) * 1.05] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 80,
        values: (_, at) => at.map((t, i) => clockShort(t * 1000, i ? (t - at[i - 1]) * 1000 : 60000)) },
      { ...axis, grid, size: 68, space: 48, values: (_, list) => list.map((v) => watts(v)) },
    ],
    series: [
      {},
      line('tenant', 1), line('mining', 1), { ...line('base', 1), fill: fade('base', 55) },
      line('ceiling', 1.5, [5, 4]), line('limit', 2),
    ],
    bands: [{ series: [1, 2], fill: fade('tenant', 60) }, { series: [2, 3], fill: fade('mining', 50) }],
    hooks: { setCursor: [(u) => { if (data) legend(index(u)); }] },
  }, stack(), $('chart'));
}

// index is the second under the pointer, or the newest one.
function index(u) {
  const shown = u.data[0].length;
  const i = u.cursor.idx ?? shown - 1;
  return data.at.length - shown + i;
}

function legend(i) {
  if (i < 0) return;
  const v = (c) => data[c][i] ?? 0;
  text($('l-tenant'), watts(v('tenant')));
  text($('l-mining'), watts(v('mining')));
  text($('l-base'), watts(v('base')));
  text($('l-total'), watts(v('base') + v('mining') + v('tenant')));
  text($('l-ceiling'), watts(Math.max(0, v('bound'))));
  text($('l-limit'), watts(v('limit')));
}

function again() {
  plot?.destroy();
  plot = null;
  draw();
}

$('chart-of').addEventListener('change', choose);
$('chart-span').addEventListener('change', draw);
night.addEventListener('change', again);
new ResizeObserver(() => plot?.setSize({ width: $('chart').clientWidth, height: $('chart').clientHeight }))
  .observe($('chart'));
