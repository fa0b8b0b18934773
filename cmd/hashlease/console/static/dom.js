// The page's elements. Text goes in as text only: names of workers, devices and tenants are not ours.

export const $ = (id) => document.getElementById(id);

export function text(node, value) {
  const s = String(value);
  if (node.textContent !== s) node.textContent = s;
}

export function el(name, className, ...children) {
  const n = document.createElement(name);
  if (className) n.className = className;
  n.append(...children);
  return n;
}

// cells fills table rows: one array of cells a row. A cell is text, a node, or {text, className, title, tone}.
export function rows(table, list, none) {
  const body = table.tBodies[0];
  const width = table.tHead.rows[0].cells.length;
  if (list.length === 0) {
    const td = el('td', 'none', none);
    td.colSpan = width;
    body.replaceChildren(el('tr', '', td));
    return;
  }
  while (body.rows.length > list.length) body.deleteRow(-1);
  if (body.rows[0]?.cells.length !== width) body.replaceChildren();
  list.forEach((cells, i) => {
    const tr = body.rows[i] ?? body.insertRow();
    cells.forEach((c, k) => fill(tr.cells[k] ?? tr.insertCell(), c, table.tHead.rows[0].cells[k].className));
  });
}

function fill(td, c, inherited) {
  if (c instanceof Node) {
    if (td.firstChild !== c) td.replaceChildren(c);
    td.className = inherited;
    return;
  }
  const cell = typeof c === 'object' ? c : { text: c };
  const name = `${inherited} ${cell.className ?? ''}`.trim();
  if (td.className !== name) td.className = name;
  td.title = cell.title ?? '';
  if (!cell.tone) {
    if (td.firstElementChild) td.replaceChildren();
    text(td, cell.text);
    return;
  }
  let tag = td.firstElementChild;
  if (!tag?.classList.contains('tag')) {
    tag = el('span', 'tag');
    td.replaceChildren(tag);
  }
  tag.dataset.tone = cell.tone;
  text(tag, cell.text);
}

// load is a bar of watts against a limit: load(limit, {base: 1, mining: 2}).
export function load(bar, limit, shares) {
  for (const [name, watts] of Object.entries(shares)) {
    const part = bar.querySelector(`.${name}`) ?? bar.appendChild(el('i', name));
    part.style.width = `${limit > 0 ? Math.min(100, Math.max(0, (100 * watts) / limit)) : 0}%`;
  }
}

// tip shows lines beside the pointer.
export function tip(event, lines) {
  const t = $('tip');
  text(t, lines.filter(Boolean).join('\n'));
  t.hidden = false;
  const { width, height } = t.getBoundingClientRect();
  t.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
  t.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18}px`;
}

export function tipOff() {
  $('tip').hidden = true;
}

// color reads one of the style sheet's colours: they differ by night.
export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export const night = matchMedia('(prefers-color-scheme: dark)');
