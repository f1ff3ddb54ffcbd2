// What a run says at its end: the verdicts, a row for each operation, and with REPORT=1 a page with charts.
import { OPERATIONS } from './experiment.js';
import { HEAD, cells, round, sampled, table } from './figures.js';
import { page } from './page.js';
import { ADMIN_URL, BASE_URL } from './settings.js';
import { LATENCY_MS } from './slo.js';
import { divide } from './windows.js';

// `seconds` and `apart`: as for the experiment. `findings` turns k6's data into lines that answer the script's question;
// `told`: the thresholds that these lines speak of already.
export function summary(script, { seconds, findings = () => [], told = null, apart = [] }) {
  const question = /^\/\/ (.*\?)/.exec(open(decodeURIComponent(import.meta.resolve(`../${script}.js`))))[1];
  return (data) => {
    const result = {
      ...digest(script, question, lasted(data, seconds), seconds, data, apart),
      findings: findings(data),
      verdicts: verdicts(data.metrics).filter(({ name }) => !told?.test(name)),
    };
    const output = { stdout: text(result) };
    if (__ENV.REPORT === '1') {
      const path = `${__ENV.REPORT_DIR || 'loadtests/reports'}/${script}-${result.at.replace(/:/g, '-')}.html`;
      output[path] = page(result);
      output.stdout += `  report: ${path}\n\n`;
    }
    return output;
  };
}

// Less than planned when the run ended itself.
function lasted({ setup_data: { startedAt } }, seconds) {
  return Math.min(seconds, Math.round((Date.now() - startedAt) / 100) / 10);
}

function digest(script, question, seconds, planned, data, apart) {
  return {
    script,
    question,
    seconds,
    at: new Date().toISOString().slice(0, 19) + 'Z',
    url: BASE_URL,
    objective: LATENCY_MS,
    rows: rows(data.metrics, seconds, apart),
    wrong: data.root_group.checks.filter((check) => check.fails).map(({ name, fails }) => `${fails} × not: ${name}`),
    service: service(data.metrics),
    dropped: dropped(data.metrics),
    windows: windows(data.metrics, seconds, planned),
  };
}

export function values(metrics, name) {
  return metrics[name]?.values || {};
}

function verdicts(metrics) {
  return Object.entries(metrics).sort().flatMap(([name, metric]) =>
    Object.entries(metric.thresholds || {}).map(([condition, { ok }]) => {
      const measured = metric.values[condition.split(/[<>=]/)[0].trim()];
      return { ok, name, condition, measured: measured === undefined ? '' : round(measured) };
    }));
}

// Of the clients; a sample of the pool that came too late harms nobody.
function dropped(metrics) {
  const scenarios = Object.keys(metrics).filter((name) => name.startsWith('dropped_iterations{'));
  return scenarios.reduce((sum, name) => sum + (values(metrics, name).count || 0), 0);
}

function rows(metrics, seconds, apart) {
  const named = [...OPERATIONS.map((name) => [name, `name:${name}`]), ...apart.map((tags) => [tags, tags])];
  return [...named, ['all tasks', 'target:tasks']]
    .map(([name, tags]) => {
      const times = values(metrics, `http_req_duration{${tags}}`);
      const failed = values(metrics, `http_req_failed{${tags}}`).passes || 0;
      return { name, failed, count: times.count || 0, rate: (times.count || 0) / seconds, times };
    })
    .filter((row) => row.count);
}

function service(metrics) {
  if (!ADMIN_URL || !metrics.pool_in_use) return null;
  const { min, max } = values(metrics, 'resident_mb');
  return {
    inUse: values(metrics, 'pool_in_use').max,
    maximum: values(metrics, 'pool_max').value,
    waiting: values(metrics, 'pool_waiting').max,
    wait: values(metrics, 'pool_wait_ms'),
    timeouts: values(metrics, 'pool_acquire_timeouts').count || 0,
    memory: [min, max].map(Math.round),
    lag: values(metrics, 'loop_lag_ms'),
    cpu: values(metrics, 'service_cpu'),
  };
}

function windows(metrics, seconds, planned) {
  const { width, count } = divide(planned);
  const whole = Math.floor(seconds / width);
  const of = (name, i) => values(metrics, `${name}{window:${i}}`);
  return Array.from({ length: Math.min(count, whole) }, (_, i) => {
    const times = values(metrics, `http_req_duration{target:tasks,window:${i}}`);
    return {
      at: i * width,
      rate: (times.count || 0) / width,
      failed: (values(metrics, `http_req_failed{target:tasks,window:${i}}`).passes || 0) / width,
      med: times.count ? times.med : undefined,
      p95: times.count ? times['p(95)'] : undefined,
      p99: times.count ? times['p(99)'] : undefined,
      inUse: of('pool_in_use', i).max,
      waiting: of('pool_waiting', i).max,
      memory: of('resident_mb', i).max,
      wait: of('pool_wait_ms', i).max,
      lag: of('loop_lag_ms', i).max,
      cpu: of('service_cpu', i).max,
    };
  });
}

function text(result) {
  const lines = [
    `${result.script}: ${result.question}`,
    `${result.url} · ${result.seconds} s · objective: p95 below ${result.objective} ms · ${result.at}`,
    '',
    ...result.verdicts.map(({ ok, name, condition, measured }) =>
      `${ok ? 'passed' : 'FAILED'}  ${name}: ${condition}${measured === '' ? '' : ` (${measured})`}`),
    '',
    ...table(HEAD, result.rows.map(cells)),
    '',
    ...result.findings,
    ...result.wrong,
    ...(result.service ? sampled(result.service) : []),
    ...(result.dropped ? [`${result.dropped} arrivals were dropped: no virtual user was free to make them`] : []),
  ];
  return `\n${lines.map((line) => `  ${line}`.trimEnd()).join('\n')}\n\n`;
}
