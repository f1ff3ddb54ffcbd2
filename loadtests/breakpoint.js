// How many requests a second can the service take before its objective breaks?
//
// The polling mix at an open arrival rate: START (100), then STEP (100) more every STEP_SECONDS (5) up to MAX (3000).
// The run ends itself at the first step with a failure or with a p95 above the objective, and prints the capacity: the
// rate of the last step that passed. k6 calls that end a crossed threshold (status 99); `make load` knows better.
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';

import { experiment, guarded } from './lib/experiment.js';
import { round, table } from './lib/figures.js';
import { poll } from './lib/polling.js';
import { seed, sessionOf, signUp } from './lib/session.js';
import { number } from './lib/settings.js';
import { LATENCY_MS, correct } from './lib/slo.js';
import { summary, values } from './lib/summary.js';
import { stamp } from './lib/windows.js';

const USERS = number('USERS', 50);
const START = number('START', 100);
const STEP = number('STEP', 100);
const STEP_SECONDS = number('STEP_SECONDS', 5);
const MAX = number('MAX', 3000);
const SLOW_SHARE = 0.05; // what a p95 leaves
const OFFERED = 0.95; // less of a step's rate than this was not that step
const BUSY = 0.8; // of a core, or of the pool: less, and the service was not what limited the run

const steps = [];
for (let rate = START; rate <= MAX; rate += STEP) steps.push(rate);
const SECONDS = steps.length * STEP_SECONDS;

// A p95 of the first ten requests of a step says nothing. That more than 5 % of all requests of the step were too slow
// can be said for sure as soon as so many have been.
const tooSlow = new Counter('too_slow');

function until(condition) {
  return [{ threshold: condition, abortOnFail: true }];
}

export const options = experiment({
  seconds: SECONDS,
  scenarios: {
    clients: {
      executor: 'ramping-arrival-rate',
      startRate: START,
      stages: steps.flatMap((target) => [{ target, duration: 0 }, { target, duration: `${STEP_SECONDS}s` }]),
      preAllocatedVUs: USERS * 4,
      maxVUs: Math.max(USERS * 4, Math.ceil(MAX / 4)),
      gracefulStop: '5s',
    },
  },
  thresholds: Object.assign({ ...correct }, ...steps.map((rate, step) => ({
    [`http_req_duration{step:${step}}`]: [],
    [`too_slow{step:${step}}`]: until(`count<=${Math.floor(SLOW_SHARE * rate * STEP_SECONDS)}`),
    [`http_req_failed{step:${step}}`]: until('rate==0'),
  }))),
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('breakpoint', { seconds: SECONDS, findings, told: /step:/ });

export function setup() {
  return { sessions: seed(signUp(USERS), 20), startedAt: Date.now() };
}

export default guarded((data) => {
  stamp(data, { step: String(Math.floor((Date.now() - exec.scenario.startTime) / 1000 / STEP_SECONDS)) });
  const { response } = poll(sessionOf(data));
  if (response.timings.duration >= LATENCY_MS) tooSlow.add(1);
});

function findings({ metrics }) {
  const seen = steps.map((rate, step) => measured(metrics, rate, step)).filter(({ count }) => count);
  const failedAt = seen.findIndex(({ verdict }) => verdict !== 'passed');
  const passed = failedAt < 0 ? seen : seen.slice(0, failedAt);
  const capacity = passed.length ? passed[passed.length - 1].rate : 0;
  const end = failedAt < 0 ? `every step up to ${capacity} passed: raise MAX` : `${seen[failedAt].rate} was too much`;
  const head = ['offered per s', 'answered', 'p95 ms', 'failed', 'verdict'];
  const shown = failedAt < 0 ? seen : seen.slice(0, failedAt + 1); // what came after was cut short
  const lines = shown.map((step) => [step.rate, step.count, round(step.p95), step.failed, step.verdict]);
  return [...table(head, lines), '', `capacity: ${capacity} requests per second (${end})`, ...(failedAt < 0 ? [] : otherLimit(metrics))];
}

// A run that failed while the service was not at its limit says nothing about the service.
function otherLimit(metrics) {
  const [cpu, inUse] = ['service_cpu', 'pool_in_use'].map((name) => values(metrics, name).max);
  if (cpu === undefined || cpu >= BUSY || inUse >= BUSY * values(metrics, 'pool_max').value) return [];
  return [`the service was not at its limit, with at most ${round(cpu)} cores and ${inUse} connections in use: something else was, most likely k6`];
}

function measured(metrics, rate, step) {
  const times = values(metrics, `http_req_duration{step:${step}}`);
  const failed = values(metrics, `http_req_failed{step:${step}}`).passes || 0;
  const count = times.count || 0;
  return { rate, count, failed, p95: times['p(95)'], verdict: verdict(count, failed, times['p(95)'], rate) };
}

function verdict(count, failed, p95, rate) {
  if (failed) return 'requests failed';
  if (p95 >= LATENCY_MS) return 'too slow';
  return count < OFFERED * rate * STEP_SECONDS ? 'incomplete' : 'passed';
}
