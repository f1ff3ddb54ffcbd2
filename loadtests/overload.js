// At three times what the service can do, does it still do its best, and refuse the rest quickly, with a clean 429 or 503?
//
// Promise: at least 90 % of the best goodput, every other answer 429 or 503 with Retry-After within 1.1 s, memory flat.
// The best goodput is RATE, or what 50 clients that never pause get in CALIBRATE_SECONDS (10). Then FACTOR (3) times as
// many requests arrive, whether or not earlier ones were answered: goodput is kept when 0.9 / FACTOR of them succeed.
// They come from SENDERS (4), each with a pool of connections, as from an ingress. That opens as many as wait at a time,
// within the first SETTLING_SECONDS (5), of which only the content of the answers is judged: a connection costs as much
// to open as a request to serve.
import http from 'k6/http';
import { Counter, Rate, Trend } from 'k6/metrics';

import { experiment, guarded } from './lib/experiment.js';
import { round } from './lib/figures.js';
import { pollAsync } from './lib/polling.js';
import { seed, signUp } from './lib/session.js';
import { ADMIN_URL, duration, number } from './lib/settings.js';
import { correct } from './lib/slo.js';
import { summary, values } from './lib/summary.js';
import { refused, served } from './lib/tasks.js';
import { stamp } from './lib/windows.js';

const USERS = number('USERS', 50);
const FACTOR = number('FACTOR', 3);
const CALIBRATE_SECONDS = number('CALIBRATE_SECONDS', 10);
const SETTLING_SECONDS = number('SETTLING_SECONDS', 5);
const GROWTH_MB = number('GROWTH_MB', 30);
const SENDERS = number('SENDERS', 4);
const SECONDS = duration('30s');
const TICKS = 50; // of each sender, a second
const TIMEOUT_SECONDS = 3; // nothing hangs longer, says another promise
const LATE_MS = 500;
const CONNECTIONS_MAX = 20000; // that a sender keeps
const KEPT = 0.9;
const BEST = 1.25; // of the best goodput: were more served, it was measured too low
const REFUSAL_MS = 1100;

const goodput = new Rate('goodput_share');
const clean = new Rate('served_or_refused');
const refusals = new Trend('refusal_ms', true);
const onTime = new Rate('sent_on_time');
const done = new Counter('senders_done');

if (FACTOR < 2) throw new Error('FACTOR must be at least 2: less is hardly an overload');

export const options = experiment({
  seconds: SETTLING_SECONDS + SECONDS,
  scenarios: {
    senders: { executor: 'per-vu-iterations', vus: SENDERS, iterations: 1, maxDuration: `${(SETTLING_SECONDS + SECONDS) * 2}s` },
  },
  thresholds: {
    goodput_share: [`rate>=${KEPT / FACTOR}`, `rate<${BEST / FACTOR}`],
    served_or_refused: ['rate==1'],
    'http_req_failed{target:tasks}': ['rate==0'],
    refusal_ms: [`max<=${REFUSAL_MS}`],
    sent_on_time: ['rate>0.99'],
    senders_done: [`count==${SENDERS}`],
    ...correct,
    ...(ADMIN_URL ? { resident_growth_mb: [`max<${GROWTH_MB}`] } : {}),
  },
  apart: ['phase:settling', 'phase:overload'],
  batch: CONNECTIONS_MAX, // k6 keeps no more idle connections than it may use in one batch
  batchPerHost: CONNECTIONS_MAX,
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('overload', { seconds: SETTLING_SECONDS + SECONDS, findings, apart: ['phase:settling', 'phase:overload'] });

export async function setup() {
  const sessions = seed(signUp(USERS), 20);
  const best = __ENV.RATE ? number('RATE') : await calibrate(sessions);
  return { sessions, best, startedAt: Date.now() };
}

export default guarded(async (data) => {
  http.setResponseCallback(http.expectedStatuses({ min: 200, max: 399 }, 429, 503));
  const perSender = (data.best * FACTOR) / TICKS / SENDERS;
  const beginning = Date.now();
  const sent = [];
  for (let tick = 0; tick < (SETTLING_SECONDS + SECONDS) * TICKS; tick++) {
    const due = beginning + (tick * 1000) / TICKS;
    await until(due);
    const judged = tick >= SETTLING_SECONDS * TICKS;
    stamp(data, { phase: judged ? 'overload' : 'settling' });
    const count = Math.floor(perSender) + (Math.random() < perSender % 1 ? 1 : 0);
    for (let i = 0; i < count; i++) sent.push(arrive(data.sessions, judged));
    if (judged) onTime.add(Date.now() - due < LATE_MS);
  }
  await Promise.all(sent);
  done.add(1);
});

function until(time) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, time - Date.now())));
}

async function arrive(sessions, judged) {
  const response = await answered(sessions);
  if (!judged) return;
  const [good, refusal] = [response !== null && served(response), response !== null && refused(response)];
  goodput.add(good);
  clean.add(good || refusal);
  if (refusal) {
    const { blocked, connecting, duration: waited } = response.timings;
    refusals.add(blocked + connecting + waited);
  }
}

// Null when the script made a mistake: an exception that nobody waits for would end the sender without a word.
async function answered(sessions) {
  try {
    return (await pollAsync(any(sessions), { timeout: `${TIMEOUT_SECONDS}s` })).response;
  } catch (error) {
    console.error(error);
    return null;
  }
}

// Requests served per second in the best quarter of the time, when each client waits for its answer before it asks again.
async function calibrate(sessions) {
  const begin = Date.now();
  const quarter = (CALIBRATE_SECONDS * 1000) / 4;
  const counts = [0, 0, 0, 0];
  const client = async (session) => {
    for (;;) {
      const { response } = await pollAsync(session, { tags: { target: 'setup', name: 'calibrate' } });
      const window = Math.floor((Date.now() - begin) / quarter);
      if (window > 3) return;
      counts[window] += served(response) ? 1 : 0;
    }
  };
  await Promise.all(sessions.map(client));
  return (Math.max(...counts) * 1000) / quarter;
}

function any(sessions) {
  return sessions[Math.floor(Math.random() * sessions.length)];
}

function findings({ metrics, setup_data: { best } }) {
  const { passes, fails } = metrics.goodput_share.values;
  const offered = (passes + fails) / SECONDS;
  return [
    `best goodput ${round(best)} a second; offered ${round(offered)} (${round(offered / best)} times), served ` +
      `${round(passes / SECONDS)} a second: ${((100 * passes) / SECONDS / best).toFixed(0)} % of the best`,
  ];
}
