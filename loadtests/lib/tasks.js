// The task routes as calls that know what a right answer looks like.
import { check } from 'k6';
import http from 'k6/http';

import { authorization, tasksUrl } from './session.js';

const TIMEOUT = '10s';

function call(session, name, method, path, { body = null, headers = {}, right }) {
  const content = body === null ? {} : { 'Content-Type': 'application/json' };
  return {
    name,
    right,
    method,
    url: tasksUrl(session) + path,
    body: body === null ? null : JSON.stringify(body),
    params: {
      headers: { ...authorization(session), ...content, ...headers },
      tags: { target: 'tasks', name },
      timeout: TIMEOUT,
    },
  };
}

export function create(session, title, headers = {}) {
  const right = (response, task) =>
    response.status === 201 && task.title === title && task.user_id === session.id && task.completed === false &&
    Boolean(response.headers.Etag) && response.headers.Location === `/api/${session.id}/tasks/${task.id}`;
  return call(session, 'create', 'POST', '', { body: { title }, headers, right });
}

// `tag`: the ETag of an earlier answer, for a conditional request.
export function read(session, id, tag) {
  const right = (response, task) => unchanged(response, tag) || (response.status === 200 && task.id === id);
  return call(session, 'read', 'GET', `/${id}`, { headers: unless(tag), right });
}

export function list(session, limit, tag) {
  const right = (response, tasks) =>
    unchanged(response, tag) || (response.status === 200 && tasks.length <= limit && newestFirst(tasks, session.id));
  return call(session, 'list', 'GET', `?limit=${limit}`, { headers: unless(tag), right });
}

export function replace(session, id, title, tag) {
  const right = (response, task) => response.status === 200 && task.title === title && response.headers.Etag !== tag;
  return call(session, 'replace', 'PUT', `/${id}`, { body: { title }, headers: tag ? { 'If-Match': tag } : {}, right });
}

export function patch(session, id, changes) {
  const right = (response, task) =>
    response.status === 200 && Object.entries(changes).every(([field, value]) => task[field] === value);
  return call(session, 'patch', 'PATCH', `/${id}`, { body: changes, right });
}

export function complete(session, id) {
  const right = (response, task) => response.status === 200 && task.id === id && typeof task.completed === 'boolean';
  return call(session, 'complete', 'PATCH', `/${id}/complete`, { right });
}

export function remove(session, id) {
  return call(session, 'delete', 'DELETE', `/${id}`, { right: (response) => response.status === 204 });
}

// Make the call and check what came back. Gives the response, with the document it carried.
export function send(request) {
  const { method, url, body, params } = request;
  return judge(request, http.request(method, url, body, params));
}

export async function sendAsync(request) {
  const { method, url, body, params } = request;
  return judge(request, await http.asyncRequest(method, url, body, params));
}

function judge(request, response) {
  const document = parse(response);
  const { target } = request.params.tags;
  check(response, { [`${request.name} gives the right answer`]: () => right(request, response, document) }, { target });
  return { response, document, tag: response.headers.Etag };
}

// An honest refusal is no wrong answer: whether it may happen is for the thresholds on failures to say.
function right(request, response, document) {
  if (refused(response)) return Number(response.headers['Retry-After']) >= 1 && document.status === response.status;
  return request.right(response, document);
}

export function refused(response) {
  return response.status === 429 || response.status === 503;
}

export function served(response) {
  return response.status >= 200 && response.status < 400;
}

function parse(response) {
  try {
    return response.body ? JSON.parse(response.body) : {};
  } catch {
    return {};
  }
}

function unless(tag) {
  return tag ? { 'If-None-Match': tag } : {};
}

function unchanged(response, tag) {
  return response.status === 304 && tag !== undefined && response.headers.Etag === tag && !response.body;
}

function newestFirst(tasks, userId) {
  return tasks.every((task, i) =>
    task.user_id === userId && (i === 0 || task.created_at <= tasks[i - 1].created_at));
}
