// Every worker as a cell: colour is its state, strength its share of full power.
import { $, color, el, night, text, tip, tipOff } from './dom.js';
import { count, hashrate, watts } from './format.js';
import { words } from './states.js';
import { search } from './workers.js';

const names = { m: 'mining', c: 'capped', p: 'paused', t: 'warn', s: 'bad', n: 'unsteered', o: 'away' };
const figures = new Map(); // by feeder
let palette = null;

export function fleet(s) {
  palette ??= Object.fromEntries(Object.entries(names).map(([k, v]) => [k, color(v)]));
  const list = s.sites.flatMap((site) => site.feeders ?? []);
  const known = new Set(list.map((f) => f.id));
  for (const [id, f] of figures) {
    if (!known.has(id)) {
      f.root.remove();
      figures.delete(id);
    }
  }
  for (const f of list) {
    const fig = figures.get(f.id) ?? make(f.id);
    show(fig, f);
  }
}

function make(id) {
  const canvas = el('canvas');
  canvas.role = 'img';
  const title = el('b', '', id);
  const note = el('span');
  const root = el('figure', '', el('figcaption', '', title, note), canvas);
  const fig = { id, root, canvas, note, grid: '', rows: new Map(), loaded: 0, cell: 0, columns: 1 };
  canvas.addEventListener('pointermove', (e) => hover(fig, e));
  canvas.addEventListener('pointerleave', tipOff);
  canvas.addEventListener('click', (e) => {
    const row = fig.rows.get(at(fig, e));
    if (row) search(row.id);
  });
  new ResizeObserver(() => paint(fig)).observe(root);
  figures.set(id, fig);
  $('fleet').append(root);
  return fig;
}

function show(fig, f) {
  const n = f.grid.length / 2;
  const power = `${watts(f.mining)} of ${watts(f.full)}`;
  text(fig.note, `${count(n)} workers · ${count(f.curtailed)} curtailed · ${power}`);
  fig.canvas.ariaLabel = `${f.id}: ${n} workers, ${f.curtailed} curtailed, mining ${power}`;
  if (fig.grid === f.grid) return;
  fig.grid = f.grid;
  paint(fig);
}

function paint(fig) {
  const n = fig.grid.length / 2;
  const width = fig.root.clientWidth;
  if (n === 0 || width === 0) return;
  const cell = n <= 400 ? 16 : n <= 1500 ? 10 : 6;
  const gap = cell > 8 ? 2 : 1;
  const columns = Math.max(1, Math.floor((width + gap) / (cell + gap)));
  const height = Math.ceil(n / columns) * (cell + gap) - gap;
  const ratio = devicePixelRatio || 1;
  Object.assign(fig, { cell: cell + gap, columns });
  fig.canvas.width = Math.round(width * ratio);
  fig.canvas.height = Math.round(height * ratio);
  fig.canvas.style.width = `${width}px`;
  fig.canvas.style.height = `${height}px`;
  const g = fig.canvas.getContext('2d');
  g.scale(ratio, ratio);
  for (let i = 0; i < n; i++) {
    const x = (i % columns) * (cell + gap);
    const y = Math.floor(i / columns) * (cell + gap);
    paintCell(g, fig.grid[2 * i], Number(fig.grid[2 * i + 1]), x, y, cell);
  }
}

function paintCell(g, code, level, x, y, size) {
  g.fillStyle = g.strokeStyle = palette[code] ?? palette.o;
  g.beginPath();
  g.roundRect(x, y, size, size, size > 8 ? 3 : 1);
  if (code === 'p') { // asleep: an outline, and almost nothing in it
    g.globalAlpha = 0.15;
    g.fill();
    g.globalAlpha = 0.9;
    g.lineWidth = size > 8 ? 1.5 : 1;
    g.beginPath();
    g.roundRect(x + 0.75, y + 0.75, size - 1.5, size - 1.5, size > 8 ? 2.5 : 1);
    g.stroke();
  } else {
    g.globalAlpha = code === 'm' || code === 'c' ? 0.35 + (0.65 * level) / 9 : 1;
    g.fill();
  }
  g.globalAlpha = 1;
}

function at(fig, e) {
  const box = fig.canvas.getBoundingClientRect();
  const x = Math.floor((e.clientX - box.left) / fig.cell);
  const y = Math.floor((e.clientY - box.top) / fig.cell);
  const i = y * fig.columns + x;
  return x >= 0 && x < fig.columns && i < fig.grid.length / 2 ? i : -1;
}

function hover(fig, e) {
  const i = at(fig, e);
  if (i < 0) {
    tipOff();
    return;
  }
  identify(fig);
  const row = fig.rows.get(i);
  const state = words[fig.grid[2 * i]]?.[0] ?? 'unknown';
  tip(e, row ? [
    row.id, `${row.model}, ${row.state}`,
    `draws ${row.reported < 0 ? '?' : watts(row.reported)} of ${watts(row.full)}, ordered ${watts(row.ordered)}`,
    row.channels ? `${hashrate(row.hashrate)}, ${row.dialect} ${row.device}` : 'not connected',
  ] : [`${fig.id}, worker ${i + 1}`, state]);
}

// identify asks who the cells are, at most every few seconds while somebody points at them.
async function identify(fig) {
  if (Date.now() - fig.loaded < 3000) return;
  fig.loaded = Date.now();
  const answer = await fetch(`/api/workers?${new URLSearchParams({ feeder: fig.id, limit: 500 })}`).catch(() => null);
  if (answer?.ok) fig.rows = new Map((await answer.json()).rows.map((r) => [r.index, r]));
}

night.addEventListener('change', () => {
  palette = Object.fromEntries(Object.entries(names).map(([k, v]) => [k, color(v)]));
  for (const fig of figures.values()) paint(fig);
});
