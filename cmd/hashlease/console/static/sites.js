// Sites: the emergency stop and its end, and limits from outside.
import { ask } from './ask.js';
import { $, el, text } from './dom.js';
import { clock, watts } from './format.js';

const known = new Map(); // by site: the nodes of its row

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
  row.button.addEventListener('click', () => order(row.site));
  $('sites').append(row.item);
  known.set(site.id, row);
  return row;
}

function order(site) {
  const name = site.name || site.id;
  const path = `/api/sites/${encodeURIComponent(site.id)}`;
  ask(site.stop ? {
    path: `${path}/resume`, title: `Let ${name} mine again?`, yes: 'Resume mining',
    text: 'Its workers return as slowly as its feeders allow. Make sure that whoever stopped it agrees.',
  } : {
    path: `${path}/stop`, title: `Stop all mining of ${name}?`, yes: 'Stop now', danger: true, reason: true,
    text: `Mining draws ${watts(sum(site, 'mining'))}: every worker goes to its minimum at once and stays there, over restarts too, until somebody resumes it. Tenants keep their power.`,
  });
}
