// Machines that are asked on interfaces of their own, by feeder. The table is not shown where there are none.
import { $, rows } from './dom.js';
import { count } from './format.js';

export function devices(s) {
  const list = s.sites.flatMap((site) => site.feeders ?? []).filter((f) => f.devices.own + f.devices.by_hand > 0);
  $('devices-part').hidden = list.length === 0;
  if (list.length > 0) rows($('devices'), list.map(row), '');
}

// bad is a number that somebody should look at.
const bad = (n, title) => (n > 0 ? { text: count(n), tone: 'warn', title } : '0');

function row(f) {
  const d = f.devices;
  return [
    f.id,
    count(d.own),
    bad(d.silent, 'they count in full, unless they hold their order by themselves: hashlease device list --wrong'),
    { text: count(d.elsewhere), title: 'without a session here: their own word and the meter tell what they do' },
    d.escaped > 0 ? { text: count(d.escaped), tone: 'bad', title: 'their session here is gone, and they hash at another pool' } : '0',
    bad(d.strays, 'somebody else has set them, or put them to sleep'),
    { text: count(d.backups), title: 'with backup pools, where they go on when theirs does not answer' },
    { text: count(d.by_hand), title: 'held down by an operator: hashlease device wake' },
  ];
}
