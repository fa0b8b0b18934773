// Blocks, events and firmware.
import { $, el, rows, text } from './dom.js';
import { bitcoin, clock, count, hashrate, percent, span } from './format.js';
import { now } from './stream.js';

const outcomes = { accepted: 'good', sending: 'warn', refused: 'bad', orphaned: 'bad' };

export function blocks(list) {
  const show = () => rows($('blocks'), list.map((b) => [
    { text: count(b.height), title: b.hash },
    { text: b.state, tone: outcomes[b.state] ?? 'warn', title: b.outcome },
    { text: b.worker, className: 'cut', title: b.worker },
    { text: bitcoin(b.value), title: `${count(b.value)} satoshi` },
    { text: span(now() - b.at), title: clock(b.at) },
  ]), 'no block yet');
  show();
  clearInterval(ageing);
  ageing = setInterval(show, 5000);
}
let ageing = 0;

let all = [];

export function events(list) {
  all = list;
  showEvents();
}

function showEvents() {
  const shown = $('events-warn').checked ? all.filter((e) => e.level === 'warn') : all;
  $('events').replaceChildren(...shown.map((e) => {
    const time = el('time', '', clock(e.at));
    time.dateTime = new Date(e.at).toISOString();
    const li = el('li', e.level === 'warn' ? 'warn' : '', time, el('span', '', el('b', '', e.about), e.text));
    return li;
  }));
  if (shown.length === 0) $('events').append(el('li', 'quiet', '', 'nothing yet'));
}
$('events-warn').addEventListener('change', showEvents);

export function firmware(list) {
  rows($('firmware'), list.map((f) => [
    { text: `${f.vendor} ${f.firmware}`.trim() || 'it does not say', className: 'cut', title: `${f.vendor} ${f.firmware}` },
    count(f.channels),
    hashrate(f.hashrate),
    { text: f.accepted + f.rejected ? percent((100 * f.rejected) / (f.accepted + f.rejected)) : '–',
      title: `${count(f.rejected)} of ${count(f.accepted + f.rejected)}` },
    { text: f.steered ? count(f.steered) : 'no',
      title: 'channels of workers that take orders: from the pool itself, from an agent of their site, or out of band' },
  ]), 'no miner is connected');
}

// reasons lists rejected shares by reason.
export function reasons(rejected) {
  const list = Object.entries(rejected).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  $('reasons').replaceChildren(...list.map(([why, n]) => {
    const row = el('div', '', el('dt', '', why), el('dd'));
    text(row.lastElementChild, count(n));
    return row;
  }));
}
