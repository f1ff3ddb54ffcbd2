// Does the whole journey of a user work, once, from the sign-up to the end of the account?
//
// Seconds long: run it after each deployment. It writes one account, and removes it.
import { check } from 'k6';
import http from 'k6/http';

import { experiment, guarded } from './lib/experiment.js';
import { PASSWORD, authorization, post } from './lib/session.js';
import { BASE_URL } from './lib/settings.js';
import { correct, objective } from './lib/slo.js';
import { summary } from './lib/summary.js';
import * as tasks from './lib/tasks.js';
import { stamp } from './lib/windows.js';

const SECONDS = 2;

export const options = experiment({
  seconds: SECONDS,
  scenarios: { journey: { executor: 'shared-iterations', vus: 1, iterations: 1, maxDuration: '30s' } },
  thresholds: { ...objective(), ...correct, 'iterations{scenario:journey}': ['count==1'] },
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('smoke', { seconds: SECONDS });

export function setup() {
  return { startedAt: Date.now() };
}

export default guarded((data) => {
  stamp(data);
  const email = `smoke-${Date.now()}-${Math.random().toString(36).slice(2)}@example.com`;
  const signedUp = account('signup', 201, ...post('/api/auth/signup', { email, password: PASSWORD, name: 'Ada' }));
  const login = account('login', 200, ...post('/api/auth/login', { email, password: PASSWORD }));
  const session = { id: login.user.id, access: login.access_token };
  const headers = authorization(session);
  check(login, { 'login finds the user who signed up': () => login.user.id === signedUp.user.id });

  work(session);

  const renewed = account('refresh', 200, ...post('/api/auth/refresh', { refresh_token: login.refresh_token }));
  check(renewed, { 'refresh rotates the token': () => renewed.refresh_token !== login.refresh_token });
  account('logout', 204, ...post('/api/auth/logout', { refresh_token: renewed.refresh_token }));
  const me = account('me', 200, 'GET', `${BASE_URL}/api/auth/me`, null, { headers });
  check(me, { 'me is who signed up': () => me.email === email && me.name === 'Ada' });
  account('leave', 204, 'DELETE', `${BASE_URL}/api/auth/me`, null, { headers });
});

function work(session) {
  const { document: task } = tasks.send(tasks.create(session, 'buy milk'));
  const { tag } = tasks.send(tasks.read(session, task.id));
  const again = tasks.send(tasks.read(session, task.id, tag));
  check(again, { 'an unchanged task is not sent twice': () => again.response.status === 304 });
  const { document: listed } = tasks.send(tasks.list(session, 20));
  check(listed, { 'the list shows the task': () => listed.length === 1 && listed[0].id === task.id });
  tasks.send(tasks.replace(session, task.id, 'buy bread', tag));
  tasks.send(tasks.patch(session, task.id, { description: 'rye' }));
  const { document: done } = tasks.send(tasks.complete(session, task.id));
  check(done, { 'the changes are all there': () => done.completed && done.title === 'buy bread' && done.description === 'rye' });
  tasks.send(tasks.remove(session, task.id));
  const gone = http.get(`${BASE_URL}/api/${session.id}/tasks/${task.id}`, {
    headers: authorization(session),
    tags: { target: 'gone', name: 'gone' },
    responseCallback: http.expectedStatuses(404),
  });
  check(gone, { 'a deleted task is gone': () => gone.status === 404 && gone.json('code') === 'task_not_found' });
}

function account(name, status, method, url, body, params) {
  const tagged = { ...params, tags: { target: 'accounts', name } };
  const response = http.request(method, url, body, tagged);
  check(response, { [`${name} answers ${status}`]: () => response.status === status });
  return response.body ? response.json() : {};
}
