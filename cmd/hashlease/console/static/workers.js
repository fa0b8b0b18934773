// The searchable table of workers: asked for when it is in view.
import { ask as confirm } from './ask.js';
import { $, el, load, rows, text } from './dom.js';
import { big, count, hashrate, span, watts } from './format.js';
import { now } from './stream.js';
import { words } from './states.js';

let visible = false;
let asked = 0;
let askedAt = 0;
let feeders = '';
const bars = [];
const buttons = [];

export function workers(s) {
  choices(s);
  if (visible && Date.now() - askedAt > 2500) ask();
}

// search shows one worker.
export function search(id) {
  $('ask-q').value = id;
  $('ask-feeder').value = $('ask-state').value = '';
  ask();
  $('workers').scrollIntoView({ behavior: 'smooth', block: 'start' });
}

function choices(s) {
  const ids = s.sites.flatMap((site) => (site.feeders ?? []).map((f) => f.id));
  if (ids.join(' ') === feeders) return;
  feeders = ids.join(' ');
  const select = $('ask-feeder');
  select.replaceChildren(new Option('all feeders', ''), ...ids.map((id) => new Option(`feeder ${id}`, id)));
}

async function ask() {
  const mine = ++asked;
  askedAt = Date.now();
  const q = new URLSearchParams({
    q: $('ask-q').value.trim(), feeder: $('ask-feeder').value, state: $('ask-state').value,
    sort: $('ask-sort').value, limit: 50,
  });
  const answer = await fetch(`/api/workers?${q}`).catch(() => null);
  if (!answer?.ok || mine !== asked) return;
  const body = await answer.json();
  if (mine !== asked) return;
  rows($('worker-rows'), body.rows.map(row), 'no worker matches');
  const shown = body.rows.length;
  $('workers-count').textContent = shown < body.total ? `${shown} of ${count(body.total)}` : count(body.total);
}

function row(w, i) {
  bars[i] ??= el('div', 'load');
  const [word, tone] = words[w.code] ?? ['unknown', 'over'];
  if (w.full > 0) load(bars[i], w.full, { reported: Math.max(0, w.reported) });
  const draw = w.reported < 0 ? 'it has not said' : `${watts(w.reported)} of ${watts(w.full)}, by its own word`;
  bars[i].title = draw;
  bars[i].role = 'img';
  bars[i].ariaLabel = draw;
  const all = w.accepted + w.rejected;
  return [
    { text: w.id, className: 'cut', title: w.id },
    named.test(w.state)
      ? { text: w.state.toLowerCase(), tone: 'bad', title: `evidence: ${w.evidence || 'none'}` }
      : { text: `${word}${w.offer === 'wake' ? ', by hand' : ''}`, tone, title: `${w.state}; evidence: ${w.evidence || 'none'}` },
    w.feeder || '–',
    { text: w.model || '–', className: 'cut', title: w.model },
    w.full > 0 ? bars[i] : '–',
    w.full > 0 ? watts(w.ordered) : '–',
    w.channels || w.elsewhere ? hashrate(w.hashrate) : '–',
    w.channels ? big(w.difficulty) : '–',
    { text: count(w.credited), title: `${count(w.accepted)} in this session` },
    { text: all ? `${count(w.rejected)}` : '–', className: all && w.rejected > Math.max(5, all / 20) ? 'late' : '' },
    w.last_share ? span(now() - w.last_share) : '–',
    { text: [w.elsewhere ? 'elsewhere' : w.dialect, w.device].filter(Boolean).join(' ') || 'not connected', className: 'cut', title: [w.device, w.address].filter(Boolean).join(' from ') },
    button(w, i) ?? '',
  ];
}

// named are states that the letter does not tell apart.
const named = /^(LYING|QUARANTINED|ESCAPED)/;

// What an operator may order of a single machine: the word on the button, and what comes of it.
const offers = {
  sleep: ['Sleep', 'Put', 'to sleep', 'It stays asleep, over restarts too, until somebody wakes it. Others may return in its place.'],
  wake: ['Wake', 'Wake', '', 'What was ordered of it by hand ends. It returns as soon as limits and leases leave room for it.'],
  release: ['Release', 'Release', 'from quarantine', 'It takes part again, and is told what the plan wants of it. Make sure that nobody else has a hand on it.'],
};

// button orders what is offered for the worker in a row; undefined if nothing is.
function button(w, i) {
  const offer = offers[w.offer];
  if (!offer) return undefined;
  if (!buttons[i]) {
    buttons[i] = el('button', 'plain');
    buttons[i].type = 'button';
    buttons[i].addEventListener('click', (e) => order(e.currentTarget.worker));
  }
  buttons[i].worker = w;
  text(buttons[i], offer[0]);
  buttons[i].ariaLabel = `${offer[0]} ${w.id}`;
  return buttons[i];
}

function order(w) {
  const [yes, verb, how, what] = offers[w.offer];
  confirm({
    path: `/api/workers/${encodeURIComponent(w.id)}/${w.offer}`, yes, done: ask, reason: false,
    title: `${verb} ${w.id}${how ? ` ${how}` : ''}?`,
    text: w.offer === 'release' ? what : `Now: ${words[w.code]?.[0] ?? w.state}, ordered to ${watts(w.ordered)} of ${watts(w.full)}. ${what}`,
  });
}

let typing = 0;
$('ask').addEventListener('submit', (e) => e.preventDefault());
$('ask').addEventListener('input', () => {
  clearTimeout(typing);
  typing = setTimeout(ask, 150);
});
new IntersectionObserver(([e]) => {
  visible = e.isIntersecting;
  if (visible) ask();
}, { rootMargin: '200px' }).observe($('workers'));
