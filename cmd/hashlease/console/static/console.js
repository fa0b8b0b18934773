// The operator's page: each part of the stream goes to the piece of the page that shows it.
import { follow } from './stream.js';
import { tiles } from './tiles.js';
import { chart } from './chart.js';
import { feeders } from './feeders.js';
import { headroom } from './headroom.js';
import { branches } from './branches.js';
import { devices } from './devices.js';
import { sites } from './sites.js';
import { fleet } from './fleet.js';
import { workers } from './workers.js';
import { leases, timeline } from './leases.js';
import { blocks, events, firmware, reasons } from './lists.js';

follow({
  now(s) {
    tiles(s);
    chart(s);
    sites(s);
    feeders(s);
    headroom(s);
    branches(s);
    devices(s);
    fleet(s);
    workers(s);
    timeline();
    reasons(s.pool.rejected);
  },
  leases,
  blocks,
  events,
  firmware,
});
