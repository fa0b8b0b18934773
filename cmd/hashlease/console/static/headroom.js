// Headroom: what each feeder can deliver to tenants, and every term that is taken off.
import { $, rows } from './dom.js';
import { count, span, watts } from './format.js';

const tones = { commissioned: 'good', declared: 'note', 'not commissioned': 'warn' };

export function headroom(s) {
  const list = s.sites.flatMap((site) => (site.feeders ?? []).map((f) => row(f)));
  rows($('headroom'), list, 'no feeder is configured');
}

function row(f) {
  const h = f.headroom;
  const why = [h.reason, h.command].filter(Boolean).join(': ');
  const terms = h.terms.map((t) => ({ text: watts(t), title: 'taken off the limit' }));
  return [
    f.id,
    { text: watts(h.firm), title: 'what tenants can be sold at most' },
    { text: span(h.notice), title: 'from the first order to the meter’s proof' },
    { text: h.state, tone: h.findings > 0 && h.state === 'commissioned' ? 'warn' : tones[h.state] ?? 'over',
      title: h.findings > 0 ? `${h.findings} findings: hashlease site headroom` : '' },
    `${count(h.counted)} of ${count(f.workers)}`,
    ...terms,
    { text: why, title: why },
  ];
}
