// Header and key figures.
import { $, el, load, text } from './dom.js';
import { count, hashrate, latency, percent, span, times, watts } from './format.js';
import { now } from './stream.js';

export function tiles(s) {
  header(s);
  const { pool, workers, power } = s;
  value('t-hashrate', hashrate(pool.hashrate));
  text($('t-hashrate-sub'), s.scale === 1
    ? `${count(pool.channels)} channels`
    : `${hashrate(pool.measured)} measured ${times(s.scale)}`);

  value('t-workers', count(workers.mining), ` of ${count(workers.total)}`);
  text($('t-workers-sub'), [
    `${count(workers.curtailed)} curtailed`,
    workers.returning && `${count(workers.returning)} returning`,
    workers.stuck && `${count(workers.stuck)} stuck`,
    workers.away && `${count(workers.away)} away`,
    workers.strangers && `${count(workers.strangers)} not in the fleet`,
    `${count(pool.sessions)} sessions`,
  ].filter(Boolean).join(' · '));

  if (pool.shares_per_minute === null) value('t-shares', '–');
  else value('t-shares', count(Math.round(pool.shares_per_minute)), ' / min');
  text($('t-shares-sub'), pool.reject_percent === null
    ? `${count(pool.accepted)} accepted`
    : `${percent(pool.reject_percent)} rejected · ${count(pool.accepted)} accepted`);

  value('t-blocks', count(s.blocks.found), ` · ${count(s.blocks.accepted)} accepted`);
  text($('t-blocks-sub'), s.blocks.last === 0
    ? 'none yet'
    : `last ${span(now() - s.blocks.last)} ago${s.blocks.pending ? ` · ${s.blocks.pending} on the way` : ''}`);

  const tip = pool.tip_to_last_job;
  value('t-tip', tip.count ? latency(tip.p99) : '–', tip.count ? ' p99' : '');
  text($('t-tip-sub'), pool.share_to_ack.count
    ? `p50 ${latency(tip.p50)} · ack p99 ${latency(pool.share_to_ack.p99)}`
    : 'no share yet');

  leases(s);
  value('t-power', watts(power.mining), ` mining · ${watts(power.tenant)} tenants`);
  load($('t-power-bar'), power.limit, { base: power.base, mining: power.mining, tenant: power.tenant });
  const share = power.limit > 0 ? (100 * power.total) / power.limit : 0;
  $('t-power-bar').ariaLabel = `${percent(share)} of the limit`;
  text($('t-power-sub'), `${percent(share)} of ${watts(power.limit)} · ${watts(power.leased)} leased · ${watts(power.base)} base`);
}

function header(s) {
  $('node').dataset.tone = s.node.ready ? 'good' : 'bad';
  text($('node-state'), s.node.ready ? 'node ready' : `node ${s.node.state}`);
  $('node').title = s.node.nodes?.map((n) => `${n.name}: ${n.state}`).join('\n') ?? '';
  text($('height'), s.node.height > 0 ? count(s.node.height) : '–');
  if ($('scale')) text($('scale'), `simulated fleet ${times(s.scale)}`);
  $('trouble').hidden = s.trouble.length === 0;
  text($('trouble'), s.trouble.join(' · '));
  text($('uptime'), `up ${span(s.uptime)}`);
  const title = s.trouble.length ? '! hashlease' : `${hashrate(s.pool.hashrate)} · hashlease`;
  if (document.title !== title) document.title = title;
}

function leases(s) {
  const states = s.leases.states;
  const active = states.ACTIVE ?? 0;
  value('t-leases', count(active), ` active${active ? ` · ${watts(s.leases.watts)}` : ''}`);
  const rest = ['DEGRADED', 'PREPARING', 'ENDING', 'SCHEDULED']
    .filter((k) => states[k])
    .map((k) => `${count(states[k])} ${k.toLowerCase()}`);
  text($('t-leases-sub'), rest.join(' · ') || 'none other');
}

function value(id, main, small = '') {
  const p = $(id);
  if (!p.lastElementChild) p.replaceChildren('', el('small'));
  if (p.firstChild.data !== main) p.firstChild.data = main;
  text(p.lastElementChild, small);
}
