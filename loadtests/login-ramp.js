// How many logins a second can be had, and do the task routes keep their objective when more are asked for?
//
// Hashing a password is made to cost. Logins ramp up to LOGINS a second (80) while the polling mix goes on at RATE (50).
// Each login comes from one of many accounts, so that no account's own limit is met; a login may be refused with 429 or
// 503 and Retry-After, the task routes may not suffer.
import { check } from 'k6';
import http from 'k6/http';
import { Counter } from 'k6/metrics';

import { experiment, guarded } from './lib/experiment.js';
import { round } from './lib/figures.js';
import { poll } from './lib/polling.js';
import { PASSWORD, post, seed, sessionOf, signUp } from './lib/session.js';
import { duration, number } from './lib/settings.js';
import { correct, objective } from './lib/slo.js';
import { summary, values } from './lib/summary.js';
import { refused } from './lib/tasks.js';
import { stamp } from './lib/windows.js';

const LOGINS = number('LOGINS', 80);
const RATE = number('RATE', 50);
const USERS = number('USERS', 200);
const SECONDS = duration('1m');

const granted = new Counter('logins_granted');
const turnedAway = new Counter('logins_refused');
const lost = new Counter('logins_lost');

export const options = experiment({
  seconds: SECONDS,
  scenarios: {
    logins: {
      executor: 'ramping-arrival-rate',
      exec: 'login',
      startRate: 1,
      stages: [{ target: LOGINS, duration: `${SECONDS}s` }],
      preAllocatedVUs: LOGINS * 4,
      maxVUs: LOGINS * 10,
      gracefulStop: '15s',
    },
    clients: {
      executor: 'constant-arrival-rate',
      exec: 'work',
      rate: RATE,
      duration: `${SECONDS}s`,
      preAllocatedVUs: RATE,
      maxVUs: RATE * 4,
    },
  },
  thresholds: { ...objective(), 'http_req_failed{name:login}': ['rate==0'], ...correct },
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('login-ramp', { seconds: SECONDS, findings });

export function setup() {
  return { sessions: seed(signUp(USERS), 5), startedAt: Date.now() };
}

export const login = guarded((data) => {
  stamp(data);
  const { email, id } = data.sessions[Math.floor(Math.random() * data.sessions.length)];
  const [method, url, body, params] = post('/api/auth/login', { email, password: PASSWORD }, {
    target: 'accounts',
    name: 'login',
  });
  const responseCallback = http.expectedStatuses(200, 429, 503);
  const response = http.request(method, url, body, { ...params, responseCallback, timeout: '10s' });
  outcome(response).add(1);
  check(response, {
    'login gives the right answer': () =>
      refused(response) ? Number(response.headers['Retry-After']) >= 1 : response.status === 200 && response.json('user.id') === id,
  });
});

export const work = guarded((data) => {
  stamp(data);
  poll(sessionOf(data));
});

function outcome(response) {
  if (response.status === 200) return granted;
  return refused(response) ? turnedAway : lost;
}

function findings({ metrics }) {
  const [yes, no, never] = ['granted', 'refused', 'lost'].map((name) => values(metrics, `logins_${name}`).count || 0);
  return [`logins: ${yes} granted (${round(yes / SECONDS)} a second on average), ${no} refused, ${never} failed`];
}
