// Figures as people read them. Nothing here touches the page.

const gap = '\u00a0'; // no line ends between a figure and its unit

function scaled(v, unit, prefixes) {
  let p = '';
  for (const c of prefixes) {
    if (Math.abs(v) < 999.5) break;
    v /= 1000;
    p = c;
  }
  const digits = p === '' && unit === 'W' ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.max(1, Math.abs(v)))));
  return `${Number(v.toFixed(digits))}${gap}${p}${unit}`;
}

export const watts = (w) => scaled(w, 'W', 'kMG');
export const hashrate = (h) => scaled(h, 'H/s', 'kMGTPEZ');
export const energy = (j) => (j >= 3.6e6 ? `${(j / 3.6e6).toFixed(2)}${gap}kWh` : `${Math.round(j / 3600)}${gap}Wh`);
export const count = (n) => n.toLocaleString('en').replaceAll(',', '\u202f');
export const percent = (p) => `${Number(p.toFixed(p < 1 ? 2 : 1))}${gap}%`;
export const bitcoin = (sats) => (sats / 1e8).toFixed(8).replace(/(\.\d\d\d*?)0+$/, '$1');
export const big = (v) => (v > 0 && v < 0.01 ? v.toExponential(1) : v < 1000 ? String(Number(v.toPrecision(3))) : scaled(v, '', 'kMGTPE').replace(gap, '\u202f'));

export function latency(ms) {
  if (ms < 1) return `${Math.round(ms * 1000)}${gap}µs`;
  if (ms < 1000) return `${Number(ms.toPrecision(3))}${gap}ms`;
  return `${Number((ms / 1000).toPrecision(3))}${gap}s`;
}

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 90) return `${s}${gap}s`;
  if (s < 5400) return `${Math.round(s / 60)}${gap}min`;
  if (s < 129600) return `${Math.round(s / 3600)}${gap}h`;
  return `${Math.round(s / 86400)}${gap}d`;
}

const clockParts = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' };
const seconds = new Intl.DateTimeFormat('en-GB', clockParts);
const minutes = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const days = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', ...clockParts });

// clock is a moment in the browser's own zone, with the day if it is not today's.
export function clock(ms) {
  const d = new Date(ms);
  return (d.toDateString() === new Date().toDateString() ? seconds : days).format(d);
}
export const clockShort = (ms, step) => (step < 60000 ? seconds : minutes).format(new Date(ms));

// times says which power of ten a scale is: "× 4·10¹⁰".
export function times(scale) {
  const e = Math.floor(Math.log10(scale) + 1e-9);
  const m = Number((scale / 10 ** e).toPrecision(3));
  const up = String(e).replace(/\d/g, (d) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[d]);
  return e < 4 ? `×${gap}${scale}` : `×${gap}${m === 1 ? '' : `${m}·`}10${up}`;
}
