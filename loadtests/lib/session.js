// Users, their tokens and their first tasks. Passwords are hashed with argon2, so everyone signs up once, in setup().
import { sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';

import { BASE_URL } from './settings.js';

export const PASSWORD = 'correct horse battery staple';
const SIGNUPS_AT_ONCE = 4;
const TIMEOUT_MS = 120000;
const JSON_BODY = { 'Content-Type': 'application/json' };

export function post(path, body, tags) {
  return ['POST', `${BASE_URL}${path}`, JSON.stringify(body), { headers: JSON_BODY, tags }];
}

// One session per user; a service that limits sign-ups is given the time that it asks for.
export function signUp(count) {
  const prefix = `k6-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
  const missing = Array.from({ length: count }, (_, i) => `${prefix}-${i}@example.com`);
  const deadline = Date.now() + TIMEOUT_MS;
  const sessions = [];
  while (missing.length) {
    const emails = missing.splice(0, SIGNUPS_AT_ONCE);
    const calls = emails.map((email) => post('/api/auth/signup', { email, password: PASSWORD }, { target: 'setup' }));
    let wait = 0;
    http.batch(calls).forEach((response, i) => {
      if (response.status === 201) {
        sessions.push({ email: emails[i], ...tokens(response) });
      } else if ([429, 503].includes(response.status) && Date.now() < deadline) {
        missing.push(emails[i]);
        wait = Math.max(wait, Number(response.headers['Retry-After'] || 1));
      } else {
        throw new Error(`sign-up answered ${response.status}: ${response.body || response.error}`);
      }
    });
    sleep(wait);
  }
  return sessions;
}

// `count` tasks for each session; it gets their ids.
export function seed(sessions, count) {
  const calls = sessions.flatMap((session) =>
    Array.from({ length: count }, (_, i) => ['POST', tasksUrl(session), JSON.stringify({ title: `task ${i}` }), {
      headers: { ...JSON_BODY, ...authorization(session) },
      tags: { target: 'setup' },
    }]));
  const ids = [];
  while (calls.length) {
    for (const response of http.batch(calls.splice(0, 50))) {
      if (response.status !== 201) throw new Error(`seeding answered ${response.status}: ${response.body}`);
      ids.push(response.json('id'));
    }
  }
  sessions.forEach((session, i) => { session.ids = ids.slice(i * count, (i + 1) * count); });
  return sessions;
}

let mine;

// This virtual user's session, with a token that has not expired.
export function sessionOf(data) {
  mine ??= { ...data.sessions[(exec.vu.idInTest - 1) % data.sessions.length] };
  if (Date.now() > mine.refreshAt) renew(mine, data.sessions.length);
  return mine;
}

function renew(session, sessions) {
  // A refresh token works once: two users of one session would end it for each other.
  if (exec.instance.vusInitialized > sessions) exec.test.abort('a run this long needs a session for each virtual user');
  const [method, url, body, params] = post('/api/auth/refresh', { refresh_token: session.refresh }, {
    target: 'accounts',
    name: 'refresh',
  });
  const response = http.request(method, url, body, params);
  if (response.status !== 200) exec.test.abort(`refresh answered ${response.status}: ${response.body}`);
  Object.assign(session, tokens(response));
}

function tokens(response) {
  const { user, access_token: access, refresh_token: refresh, expires_in: seconds } = response.json();
  return { id: user.id, access, refresh, refreshAt: Date.now() + (seconds - Math.min(60, seconds / 3)) * 1000 };
}

export function authorization(session) {
  return { Authorization: `Bearer ${session.access}` };
}

export function tasksUrl(session) {
  return `${BASE_URL}/api/${session.id}/tasks`;
}
