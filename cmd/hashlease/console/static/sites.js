// Sites: the emergency stop and its end, and limits from outside.
import { $, el, text } from './dom.js';
import { clock, watts } from './format.js';

const known = new Map(); // by site: the nodes of its row
let asked = null; // what the open dialog is about

export function sites(s) {
  for (const site of s.sites) show(site);
}

function show(site) {
  const row = known.get(site.id) ?? make(site);
  const stop = site.stop;
  row.item.dataset.stopped = stop ? 'yes' : 'no';
  text(row.name, site.name || site.id);
  text(row.state, stop
    ? `STOPPED since ${clock(stop.at)}${stop.reason ? `: ${stop.reason}` : ''}`
    : site.limit ? `limited to ${watts(site.limit.watts)} until ${clock(site.limit.until)}${site.limit.reason ? `: ${site.limit.reason}` : ''}`
      : `mining ${watts(sum(site, 'mining'))}`);
  text(row.price, priced(site.price));
  text(row.button, stop ? 'Resume mining' : 'Emergency stop');
  row.button.className = stop ? 'plain' : 'danger';
  row.site = site;
}

// priced is what power costs in a line, empty where no tariff is configured.
function priced(p) {
  if (!p) return '';
  const parts = [`power ${sat(p.msat)} a kWh${p.lost ? ' (price feed lost)' : ''}`];
  if (p.next) parts.push(`${sat(p.then)} from ${clock(p.next)}`);
  if (p.stopped) parts.push(`${p.stopped} stopped, saves ${sat(p.saved)} an hour`);
  return parts.join(', ');
}

const sat = (msat) => `${(msat / 1000).toLocaleString('en', { maximumFractionDigits: 1 })} sat`;

const sum = (site, field) => (site.feeders ?? []).reduce((n, f) => n + f[field], 0);

function make(site) {
  const row = { name: el('b'), state: el('span', 'quiet'), price: el('span', 'quiet'), button: el('button', 'danger') };
  row.button.type = 'button';
  row.item = el('li', '', el('p', '', row.name, ' ', row.state, ' ', row.price), row.button);
  row.button.addEventListener('click', () => ask(row.site));
  $('sites').append(row.item);
  known.set(site.id, row);
  return row;
}

function ask(site) {
  asked = { id: site.id, path: site.stop ? 'resume' : 'stop' };
  const name = site.name || site.id;
  text($('ask-title'), site.stop ? `Let ${name} mine again?` : `Stop all mining of ${name}?`);
  text($('ask-text'), site.stop
    ? 'Its workers return as slowly as its feeders allow. Make sure that whoever stopped it agrees.'
    : `Mining draws ${watts(sum(site, 'mining'))}: every worker goes to its minimum at once and stays there, over restarts too, until somebody resumes it. Tenants keep their power.`);
  $('ask-reason').parentElement.hidden = Boolean(site.stop);
  $('ask-reason').value = '';
  text($('ask-yes'), site.stop ? 'Resume mining' : 'Stop now');
  $('ask-yes').className = site.stop ? '' : 'danger';
  $('ask-fault').hidden = true;
  $('ask-site').showModal();
}

async function send() {
  const { id, path } = asked;
  const answer = await fetch(`/api/sites/${encodeURIComponent(id)}/${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: path === 'stop' ? JSON.stringify({ reason: $('ask-reason').value.trim() }) : '',
  }).catch(() => null);
  if (answer?.ok) {
    $('ask-site').close();
    return;
  }
  if (answer?.status === 401) {
    location.assign('/login');
    return;
  }
  $('ask-fault').hidden = false;
  text($('ask-fault'), answer ? await answer.text() : 'The server does not answer. Use the machine’s own switch.');
}

$('ask-form').addEventListener('submit', (e) => {
  e.preventDefault();
  send();
});
$('ask-no').addEventListener('click', () => $('ask-site').close());
