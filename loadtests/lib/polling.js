// The mix that a task service really sees: clients that poll again and again, and seldom change anything.
import { Rate } from 'k6/metrics';

import * as tasks from './tasks.js';

const PAGE = 20;
const CONDITIONAL = 0.75; // most clients remember what they saw
const notModified = new Rate('not_modified'); // of the conditional requests
const tags = new Map();
const created = new Map(); // by user: their tasks that may be deleted

// One request of the mix: two thirds single reads, a quarter lists, the rest writes.
export function next(session) {
  const dice = Math.random();
  if (dice < 0.66) return read(session, session.ids[Math.floor(Math.random() * session.ids.length)]);
  if (dice < 0.91) return tasks.list(session, PAGE, remembered(session.id));
  if (dice < 0.96) return tasks.patch(session, session.ids[0], { completed: Math.random() < 0.5 });
  const mine = created.get(session.id);
  return mine?.length && dice < 0.98 ? tasks.remove(session, mine.pop()) : tasks.create(session, 'polled');
}

export function poll(session) {
  const request = next(session);
  const answer = tasks.send(request);
  remember(session, request, answer);
  return answer;
}

export async function pollAsync(session, params) {
  const request = next(session);
  Object.assign(request.params, params);
  const answer = await tasks.sendAsync(request);
  remember(session, request, answer);
  return answer;
}

function read(session, id) {
  return tasks.read(session, id, remembered(id));
}

function remembered(key) {
  return Math.random() < CONDITIONAL ? tags.get(key) : undefined;
}

function remember(session, request, { response, document, tag }) {
  if (request.params.headers['If-None-Match']) notModified.add(response.status === 304);
  if (request.name === 'list' && tag) tags.set(session.id, tag);
  if (request.name === 'read' && tag) tags.set(document.id || request.url.slice(-36), tag);
  if (response.status === 201) created.set(session.id, [...(created.get(session.id) || []), document.id]);
}
