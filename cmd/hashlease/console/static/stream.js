// The live connection: parts of the page as they change, and what to do when it breaks.
import { $, text } from './dom.js';
import { clock, span } from './format.js';

let offset = 0; // of the server's clock
let last = 0; // when something came

// now is the server's time: the page's clock may be wrong.
export const now = () => Date.now() + offset;

export function follow(parts) {
  let wait = 1000;
  const open = () => {
    const source = new EventSource('/api/stream');
    for (const [name, show] of Object.entries(parts)) {
      source.addEventListener(name, (e) => {
        const body = JSON.parse(e.data);
        last = Date.now();
        wait = 1000;
        if (name === 'now') offset = body.at - last;
        show(body);
        heard();
      });
    }
    source.addEventListener('over', () => location.assign('/login'));
    source.onerror = async () => {
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again itself
      source.close();
      const answer = await fetch('/api/workers?limit=1').catch(() => null);
      if (answer?.status === 401) {
        location.assign('/login');
        return;
      }
      setTimeout(open, wait);
      wait = Math.min(2 * wait, 15000);
    };
  };
  setInterval(heard, 1000);
  open();
}

// heard says how old the page is.
function heard() {
  const age = Date.now() - last;
  const stale = last > 0 && age > 5000;
  document.body.dataset.live = last === 0 ? 'waiting' : stale ? 'stale' : 'yes';
  if (last === 0) text($('live-text'), 'connecting');
  else text($('live-text'), stale ? `no news for ${span(age)}` : `live ${clock(now())}`);
}
