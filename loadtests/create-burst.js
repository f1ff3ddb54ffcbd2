// Do fifty creates that arrive in the same instant all succeed within the objective, and is each stored exactly once?
//
// Fifty users wait for the turn of the second and create one task each, ROUNDS times (10). At the end each user counts.
import { check, sleep } from 'k6';
import http from 'k6/http';

import { experiment, guarded } from './lib/experiment.js';
import { authorization, sessionOf, signUp, tasksUrl } from './lib/session.js';
import { number } from './lib/settings.js';
import { correct, objective } from './lib/slo.js';
import { summary } from './lib/summary.js';
import * as tasks from './lib/tasks.js';
import { stamp } from './lib/windows.js';

const VUS = number('VUS', 50);
const ROUNDS = number('ROUNDS', 10);
const SECONDS = ROUNDS + 1;

export const options = experiment({
  seconds: SECONDS,
  scenarios: {
    burst: { executor: 'per-vu-iterations', vus: VUS, iterations: ROUNDS, maxDuration: `${SECONDS * 10}s` },
  },
  thresholds: { ...objective(), ...correct, 'iterations{scenario:burst}': [`count==${VUS * ROUNDS}`] },
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('create-burst', { seconds: SECONDS });

export function setup() {
  return { sessions: signUp(VUS + 1), startedAt: Date.now() };
}

export default guarded((data) => {
  const session = sessionOf(data);
  sleep((1000 - (Date.now() % 1000)) / 1000);
  stamp(data);
  tasks.send(tasks.create(session, `burst of ${new Date().toISOString()}`));
});

export function teardown({ sessions }) {
  const stored = sessions.map((session) => {
    const params = { headers: authorization(session), tags: { target: 'setup' } };
    return http.get(`${tasksUrl(session)}?limit=500`, params).json().length;
  });
  check(stored, {
    'each create left one task': () => stored.reduce((sum, count) => sum + count) === VUS * ROUNDS,
  });
}
