// At three times what the service can do, does it still do its best, and refuse the rest quickly and politely?
//
// Promise: at least 90 % of the best goodput, every other answer 429 or 503 with Retry-After within 1.1 s, memory flat.
// The best goodput is RATE, or what 50 clients that never pause get in CALIBRATE_SECONDS (10). Then FACTOR (3) times as
// many requests arrive, whether or not earlier ones were answered: goodput is kept when 0.9 / FACTOR of them succeed.
// The rate is known only after the first phase, when k6 no longer takes one. So that ticks arrive at a fixed rate, and
// each sends its share of the requests at once.
import http from 'k6/http';
import { Rate, Trend } from 'k6/metrics';

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
const GROWTH_MB = number('GROWTH_MB', 30);
const SECONDS = duration('30s');
const TICKS = 50; // a second
const PATIENCE_SECONDS = 3; // nothing hangs longer, says another promise
const KEPT = 0.9;
const REFUSAL_MS = 1100;

const goodput = new Rate('goodput_share');
const clean = new Rate('served_or_refused');
const refusals = new Trend('refusal_ms', true);

export const options = experiment({
  seconds: SECONDS,
  scenarios: {
    ticks: {
      executor: 'constant-arrival-rate',
      rate: TICKS,
      duration: `${SECONDS}s`,
      preAllocatedVUs: TICKS * PATIENCE_SECONDS * 2,
      maxVUs: TICKS * PATIENCE_SECONDS * 2,
      gracefulStop: '20s', // each arrival is to be counted, also on a machine that is out of breath
    },
  },
  thresholds: {
    // Were most of the arrivals served, it was no overload: the best goodput was measured too low.
    goodput_share: [`rate>=${KEPT / FACTOR}`, `rate<${2 / FACTOR}`],
    served_or_refused: ['rate==1'],
    'http_req_failed{target:tasks}': ['rate==0'], // those too that k6 gave up before they could be judged
    refusal_ms: [`max<=${REFUSAL_MS}`],
    'dropped_iterations{scenario:ticks}': [`count<${0.01 * TICKS * SECONDS}`],
    ...correct,
    ...(ADMIN_URL ? { resident_growth_mb: [`max<${GROWTH_MB}`] } : {}),
  },
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('overload', { seconds: SECONDS, findings });

export async function setup() {
  const sessions = seed(signUp(USERS), 20);
  const best = __ENV.RATE ? number('RATE') : await calibrate(sessions);
  return { sessions, best, startedAt: Date.now() };
}

export default guarded(async (data) => {
  stamp(data);
  http.setResponseCallback(http.expectedStatuses({ min: 200, max: 399 }, 429, 503));
  const share = (data.best * FACTOR) / TICKS;
  const count = Math.floor(share) + (Math.random() < share % 1 ? 1 : 0);
  await Promise.all(Array.from({ length: count }, () => arrive(data.sessions)));
});

async function arrive(sessions) {
  const { response } = await pollAsync(any(sessions), { timeout: `${PATIENCE_SECONDS}s` });
  goodput.add(served(response));
  clean.add(served(response) || refused(response));
  if (refused(response)) refusals.add(response.timings.duration);
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
  const sent = values(metrics, 'http_req_duration{target:tasks}').count || 0;
  const offered = sent / SECONDS;
  const unjudged = sent - passes - fails;
  return [
    `best goodput ${round(best)} a second; offered ${round(offered)} (${round(offered / best)} times), served ` +
      `${round(passes / SECONDS)} a second: ${((100 * passes) / SECONDS / best).toFixed(0)} % of the best`,
    ...(unjudged > 0 ? [`k6 gave up ${unjudged} requests before it could judge them: it needs more cores than it has`] : []),
  ];
}
