// Does a sudden tenfold load pass without a wrong answer, and is the objective kept again as soon as it is over?
//
// BASE requests a second (50), PEAK for a third of the time (ten times as many), then BASE again. During the peak
// a request may be refused with 429 or 503 and Retry-After; before and after it none may.
import exec from 'k6/execution';
import http from 'k6/http';

import { experiment, guarded } from './lib/experiment.js';
import { poll } from './lib/polling.js';
import { seed, sessionOf, signUp } from './lib/session.js';
import { duration, number } from './lib/settings.js';
import { correct, objective } from './lib/slo.js';
import { summary } from './lib/summary.js';
import { stamp } from './lib/windows.js';

const USERS = number('USERS', 50);
const BASE = number('BASE', 50);
const PEAK = number('PEAK', BASE * 10);
const SECONDS = duration('1m');
const THIRD = Math.max(1, Math.round(SECONDS / 3));
const SETTLING_SECONDS = 2; // for the requests that the peak left behind

const apart = ['phase:before', 'phase:peak', 'phase:settling', 'phase:after'];

export const options = experiment({
  seconds: THIRD * 3,
  scenarios: {
    clients: {
      executor: 'ramping-arrival-rate',
      startRate: BASE,
      stages: [BASE, PEAK, BASE].flatMap((target) => [{ target, duration: 0 }, { target, duration: `${THIRD}s` }]),
      preAllocatedVUs: Math.max(USERS, PEAK),
      maxVUs: Math.max(USERS, PEAK * 2),
    },
  },
  thresholds: {
    ...objective('phase:before'),
    ...objective('phase:after'),
    'http_req_failed{phase:peak}': ['rate==0'],
    ...correct,
  },
  apart,
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('spike', { seconds: THIRD * 3, apart });

export function setup() {
  return { sessions: seed(signUp(USERS), 20), startedAt: Date.now() };
}

export default guarded((data) => {
  const phase = phaseAt((Date.now() - exec.scenario.startTime) / 1000);
  stamp(data, { phase });
  http.setResponseCallback(answers(phase));
  poll(sessionOf(data));
});

function phaseAt(seconds) {
  if (seconds < THIRD) return 'before';
  if (seconds < 2 * THIRD) return 'peak';
  return seconds < 2 * THIRD + SETTLING_SECONDS ? 'settling' : 'after';
}

function answers(phase) {
  const usual = { min: 200, max: 399 };
  return phase === 'before' || phase === 'after'
    ? http.expectedStatuses(usual)
    : http.expectedStatuses(usual, 429, 503);
}
