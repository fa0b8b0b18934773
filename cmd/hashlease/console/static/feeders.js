// The table of feeders.
import { $, el, load, rows } from './dom.js';
import { count, span, watts } from './format.js';

const bars = new Map(); // by feeder
const arms = { act: 'good', advise: 'note', observe: 'over' };

export function feeders(s) {
  const list = s.sites.flatMap((site) => (site.feeders ?? []).map((f) => row(s, site, f)));
  rows($('feeders'), list, 'no feeder is configured');
}

function row(s, site, f) {
  let bar = bars.get(f.id);
  if (!bar) {
    bar = el('div', 'load');
    bar.role = 'img';
    bars.set(f.id, bar);
  }
  load(bar, f.limit, { base: f.base, mining: f.mining, tenant: f.tenant });
  const share = f.limit > 0 ? Math.round((1000 * f.total) / f.limit) / 10 : 0;
  bar.ariaLabel = `${share} % of the limit`;
  const age = s.at - f.reading_at;
  return [
    { text: f.id, title: `${site.name || site.id}: ${watts(f.reserve)} reserve` },
    { text: f.state, tone: f.ok ? 'good' : f.total > f.limit ? 'bad' : 'warn' },
    bar,
    { text: watts(f.total), title: `${share} % of the limit` },
    watts(f.limit),
    watts(f.mining),
    { text: watts(Math.max(0, f.bound)), title: 'what mining may draw now' },
    { text: watts(f.ordered), title: 'what the orders in force lead to' },
    watts(f.base),
    watts(f.tenant),
    watts(f.leased),
    `${count(f.curtailed)} of ${count(f.workers)}`,
    { text: f.arm, tone: arms[f.arm] ?? 'over' },
    f.reading_at === 0 ? { text: 'none', className: 'late' }
      : { text: age < 1500 ? `${(age / 1000).toFixed(1)} s` : span(age), className: age > 3000 ? 'late' : '' },
  ];
}
