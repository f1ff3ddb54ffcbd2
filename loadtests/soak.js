// Does the service stay as fast and as small as it was, for as long as one cares to wait?
//
// The polling mix at RATE (100 a second) for DURATION (10 m). Sessions are renewed before their tokens expire. With
// ADMIN_URL, memory must not grow by more than GROWTH_MB (15) once a fifth of the time is over, and at the end no
// connection may be missing from the pool.
import { check, sleep } from 'k6';

import { experiment, guarded } from './lib/experiment.js';
import { scrape } from './lib/pool.js';
import { poll } from './lib/polling.js';
import { seed, sessionOf, signUp } from './lib/session.js';
import { ADMIN_URL, duration, number } from './lib/settings.js';
import { correct, objective } from './lib/slo.js';
import { summary } from './lib/summary.js';
import { stamp } from './lib/windows.js';

const VUS = number('VUS', 50);
const RATE = number('RATE', 100);
const GROWTH_MB = number('GROWTH_MB', 15);
const SECONDS = duration('10m');

export const options = experiment({
  seconds: SECONDS,
  scenarios: {
    // As many users as sessions: a refresh token works once, so that two cannot share it.
    clients: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      duration: `${SECONDS}s`,
      preAllocatedVUs: VUS,
      maxVUs: VUS,
    },
  },
  thresholds: {
    ...objective(),
    'http_req_failed{target:accounts}': ['rate==0'],
    'dropped_iterations{scenario:clients}': [`count<${0.01 * RATE * SECONDS}`],
    ...correct,
    ...(ADMIN_URL ? { resident_growth_mb: [`max<${GROWTH_MB}`] } : {}),
  },
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('soak', { seconds: SECONDS });

export function setup() {
  return { sessions: seed(signUp(VUS + 1), 20), startedAt: Date.now() };
}

export default guarded((data) => {
  stamp(data);
  poll(sessionOf(data));
});

export function teardown() {
  if (!ADMIN_URL) return;
  sleep(1);
  const now = scrape();
  check(now, { 'every connection is back in the pool': () => now('db_pool_connections{state="in_use"}') === 0 });
}
