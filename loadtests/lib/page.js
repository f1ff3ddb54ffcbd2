// The report: one HTML file that needs nothing else, with charts as inline SVG.
import { HEAD, cells, round, sampled } from './figures.js';

const WIDTH = 720;
const HEIGHT = 220;
const MARGIN = { left: 56, right: 24, top: 10, bottom: 28 };

const STYLE = `
  :root { color-scheme: light dark; --ink: #1d2733; --soft: #64748b; --rule: #d8dee6; --back: #fff;
    --a: #2563eb; --b: #d97706; --c: #be185d; --bad: #dc2626; --good: #15803d; }
  @media (prefers-color-scheme: dark) { :root { --ink: #e5e9f0; --soft: #94a3b8; --rule: #334155; --back: #0f172a;
    --a: #60a5fa; --b: #fbbf24; --c: #f472b6; --bad: #f87171; --good: #4ade80; } }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 760px; margin: 2rem auto; padding: 0 1rem;
    color: var(--ink); background: var(--back); }
  h1 { font-size: 1.4rem; margin-bottom: 0; } h2 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
  p { color: var(--soft); margin: .3rem 0; } li.passed::marker { content: '✓ '; color: var(--good); }
  li.failed::marker { content: '✗ '; color: var(--bad); } li.failed { color: var(--bad); }
  code, td { font-variant-numeric: tabular-nums; }
  pre { overflow-x: auto; } .wide { overflow-x: auto; }
  table { border-collapse: collapse; width: 100%; } th, td { text-align: right; padding: .2rem .5rem;
    border-bottom: 1px solid var(--rule); white-space: nowrap; } th:first-child, td:first-child { text-align: left; }
  svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--soft); }
  .key { margin-right: 1rem; } .key::before { content: '— '; font-weight: bold; color: var(--line); }`;

export function page(result) {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(`${result.script}, ${result.at}`)}</title><style>${STYLE}</style></head><body>
<h1>${escape(result.question)}</h1>
<p>${escape(`${result.script} · ${result.url} · ${result.seconds} s · ${result.at}`)}</p>
<ul>${result.verdicts.map(verdict).join('')}</ul>
${[...result.findings, ...result.wrong].length ? `<pre>${escape([...result.findings, ...result.wrong].join('\n'))}</pre>` : ''}
<div class="wide"><table><tr>${HEAD.map((name) => `<th>${escape(name)}</th>`).join('')}</tr>
${result.rows.map((row) => `<tr>${cells(row).map((cell) => `<td>${escape(cell)}</td>`).join('')}</tr>`).join('\n')}</table></div>
${charts(result).map(figure).join('\n')}
${result.service ? `<p>${sampled(result.service).map(escape).join('<br>')}</p>` : ''}
${result.dropped ? `<p>${result.dropped} arrivals were dropped: no virtual user was free to make them.</p>` : ''}
</body></html>
`;
}

function verdict({ ok, name, condition, measured }) {
  return `<li class="${ok ? 'passed' : 'failed'}"><code>${escape(`${name}: ${condition}`)}</code> ${measured === '' ? '' : `(${escape(measured)})`}</li>`;
}

function charts({ windows, service, objective }) {
  const series = (name, field, colour) => ({ name, colour, points: windows.map((w) => [w.at, w[field]]) });
  const drawn = [
    { title: 'Task requests per second', series: [series('all', 'rate', 'a'), series('failed', 'failed', 'bad')] },
    {
      title: 'Latency of task requests, ms',
      series: [series('median', 'med', 'a'), series('p95', 'p95', 'b'), series('p99', 'p99', 'c')],
      line: { name: `objective, p95 below ${objective} ms`, at: objective },
    },
  ];
  if (!service) return drawn;
  return [
    ...drawn,
    {
      title: 'Connection pool',
      series: [series('in use', 'inUse', 'a'), series('requests waiting', 'waiting', 'b')],
      line: { name: 'largest pool', at: service.maximum },
    },
    { title: 'Wait for a connection, ms', series: [series('mean', 'wait', 'b')] },
    { title: 'Resident memory, MB', series: [series('memory', 'memory', 'a')] },
    { title: 'Processor of the service, cores', series: [series('worst of the window', 'cpu', 'a')] },
    { title: 'Lateness of the event loop, ms', series: [series('worst of the window', 'lag', 'c')] },
  ];
}

function figure({ title, series, line }) {
  const points = series.flatMap((one) => one.points).filter(([, y]) => y !== undefined);
  if (!points.length) return '';
  const right = Math.max(...points.map(([x]) => x), 1);
  const top = ceiling(Math.max(...points.map(([, y]) => y), line ? line.at : 0));
  const x = (value) => MARGIN.left + (value / right) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (value) => HEIGHT - MARGIN.bottom - (value / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    `<path d="M${MARGIN.left} ${y(share * top)}H${WIDTH - MARGIN.right}" stroke="var(--rule)"/>` +
    `<text x="${MARGIN.left - 6}" y="${y(share * top) + 4}" text-anchor="end">${round(share * top)}</text>`);
  const times = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    `<text x="${x(share * right)}" y="${HEIGHT - 8}" text-anchor="middle">${round(share * right)} s</text>`);
  const limit = line
    ? `<path d="M${MARGIN.left} ${y(line.at)}H${WIDTH - MARGIN.right}" stroke="var(--bad)" stroke-dasharray="6 4"/>`
    : '';
  const keys = [...series, ...(line ? [{ name: line.name, colour: 'bad' }] : [])];
  return `<h2>${escape(title)}</h2>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(title)}">${grid.join('')}${times.join('')}${limit}
${series.map((one) => curve(one, x, y)).join('\n')}</svg>
<p>${keys.map(({ name, colour }) => `<span class="key" style="--line: var(--${colour})">${escape(name)}</span>`).join('')}</p>`;
}

// A gap in the samples is a gap in the line.
function curve({ name, colour, points }, x, y) {
  let pen = 'M';
  const steps = points.map(([at, value]) => {
    if (value === undefined) {
      pen = 'M';
      return '';
    }
    const step = `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = 'L';
    return step;
  });
  const dots = points.filter(([, value]) => value !== undefined).map(([at, value]) =>
    `<circle cx="${x(at).toFixed(1)}" cy="${y(value).toFixed(1)}" r="2.5" fill="var(--${colour})">` +
    `<title>${escape(`${name} at ${at} s: ${round(value)}`)}</title></circle>`);
  return `<path d="${steps.join('')}" fill="none" stroke="var(--${colour})" stroke-width="1.5"/>${dots.join('')}`;
}

// The next of 1, 2, 4 and 10 times a power of ten.
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 10].map((step) => step * power).find((candidate) => candidate >= value);
}

function escape(value) {
  return String(value).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
