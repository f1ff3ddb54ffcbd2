// Do forty-nine ordinary clients keep their objective while one client asks for all it can get?
//
// The ordinary clients follow the polling mix, with a pause between requests. After a fifth of the time one more user
// asks for the largest page, on CONNECTIONS (50) connections and without a pause. It may be refused; nobody else may.
import { sleep } from 'k6';
import http from 'k6/http';

import { experiment, guarded } from './lib/experiment.js';
import { poll } from './lib/polling.js';
import { seed, sessionOf, signUp } from './lib/session.js';
import { BASE_URL, duration, number } from './lib/settings.js';
import { correct, objective } from './lib/slo.js';
import { summary } from './lib/summary.js';
import { elapsed, stamp } from './lib/windows.js';

const CLIENTS = 49;
const CONNECTIONS = number('CONNECTIONS', 50);
const PAUSE_SECONDS = number('PAUSE_SECONDS', 0.5);
const SECONDS = duration('1m');
const QUIET_SECONDS = Math.ceil(SECONDS / 5);
const PAGE = 500;

const apart = ['client:ordinary,noise:off', 'client:ordinary,noise:on', 'client:noisy'];

export const options = experiment({
  seconds: SECONDS,
  scenarios: {
    ordinary: { executor: 'constant-vus', exec: 'ordinary', vus: CLIENTS, duration: `${SECONDS}s` },
    noisy: {
      executor: 'constant-vus',
      exec: 'noisy',
      vus: CONNECTIONS,
      startTime: `${QUIET_SECONDS}s`,
      duration: `${SECONDS - QUIET_SECONDS}s`,
    },
  },
  thresholds: { ...objective('client:ordinary,noise:off'), ...objective('client:ordinary,noise:on'), ...correct },
  apart,
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('noisy-neighbour', { seconds: SECONDS, apart });

export function setup() {
  const sessions = seed(signUp(CLIENTS), 20);
  const [greedy] = seed(signUp(1), PAGE);
  return { sessions, greedy, startedAt: Date.now() };
}

export const ordinary = guarded((data) => {
  stamp(data, { client: 'ordinary', noise: elapsed(data) < QUIET_SECONDS ? 'off' : 'on' });
  poll(sessionOf(data));
  sleep(PAUSE_SECONDS * (0.5 + Math.random()));
});

export const noisy = guarded((data) => {
  stamp(data, { client: 'noisy', noise: 'on' });
  http.setResponseCallback(http.expectedStatuses({ min: 200, max: 399 }, 429, 503));
  // Its answers are not read: parsing pages of 500 tasks would keep k6, not the service, from the ordinary clients.
  const response = http.get(`${BASE_URL}/api/${data.greedy.id}/tasks?limit=${PAGE}`, {
    headers: { Authorization: `Bearer ${data.greedy.access}` },
    responseType: 'none',
    tags: { target: 'tasks', operation: 'list', name: 'list' },
  });
  if (response.status === 429) sleep(0.05); // it is abusive, but no faster than a loop of refusals lets it be
});
