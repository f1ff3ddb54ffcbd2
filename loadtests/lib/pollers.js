// Clients that show one list and ask again and again whether it has changed, with the ETag of what they show.
import { check } from 'k6';
import { Rate } from 'k6/metrics';

import * as tasks from './tasks.js';

const PAGE = 20;
const shown = new Map(); // by user: what this client shows, with its tag, and what it has written since
const unchanged = new Rate('list_not_modified');

// One poll; before it, with a probability of `writes`, a change to one of the tasks on the list.
export function pollList(session, writes) {
  const held = shown.get(session.id);
  if (held && Math.random() < writes) write(session, held);
  const { response, document, tag } = tasks.send(tasks.list(session, PAGE, held?.tag));
  if (tasks.refused(response)) return;
  if (held) {
    unchanged.add(response.status === 304);
    check(response, judged(response, document, tag, held), { target: 'tasks' });
  }
  if (response.status === 200) shown.set(session.id, { tag, body: response.body, written: new Map() });
}

function write(session, held) {
  const id = session.ids[Math.floor(Math.random() * session.ids.length)];
  const { response, document } = tasks.send(tasks.patch(session, id, { completed: Math.random() < 0.5 }));
  if (response.status === 200) held.written.set(id, document.updated_at);
}

// Beyond the right form of an answer, which `tasks.list` checks: whether 304 and 200 are true.
function judged(response, list, tag, { tag: before, body, written }) {
  if (response.status === 304) return { 'a list that has changed is no 304': () => written.size === 0 };
  const times = new Map(list.map((task) => [task.id, task.updated_at]));
  return {
    'a list that has not changed is a 304': () => tag !== before && response.body !== body,
    'a list shows what was written before': () => [...written].every(([id, at]) => times.get(id) >= at),
  };
}
