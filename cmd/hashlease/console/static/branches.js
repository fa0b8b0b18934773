// PDUs, transformers and imports: what has a limit besides feeders. The table is not shown where there are none.
import { $, rows } from './dom.js';
import { watts } from './format.js';

export function branches(s) {
  const list = s.sites.flatMap((site) => site.branches ?? []);
  $('branches-part').hidden = list.length === 0;
  if (list.length > 0) rows($('branches'), list.map(row), '');
}

function row(b) {
  const told = (w) => (w < 0 ? { text: '–', title: 'nothing tells what a PDU without a meter takes' } : watts(w));
  const by = b.meters > 0 ? 'its meter' : b.total < 0 ? 'nothing' : 'feeders';
  return [
    b.id,
    b.kind,
    { text: b.state, tone: b.ok ? 'good' : 'warn', title: b.state },
    by,
    told(b.total),
    { text: watts(b.limit), title: 'never passed by our act' },
    { text: watts(b.base), title: 'of all that is below it, and its own' },
    { text: watts(b.claimed), title: 'by tenants and operators, on the feeders below' },
    told(b.mining),
    { text: watts(b.bound), title: 'what mining below it may draw' },
    { text: watts(b.ordered), title: 'what the orders in force lead to' },
  ];
}
