// Does the service keep its objective with fifty clients that never pause?
//
// The requirements' objective: 50 virtual users, p95 below 200 ms, no failure. Each user makes, reads, lists, replaces,
// patches, completes and deletes tasks, all equally often and one request right after the other (a closed loop), so
// that the service is as busy as fifty clients can make it.
import { experiment, guarded } from './lib/experiment.js';
import { seed, sessionOf, signUp } from './lib/session.js';
import { duration, number } from './lib/settings.js';
import { correct, objective } from './lib/slo.js';
import { summary } from './lib/summary.js';
import * as tasks from './lib/tasks.js';
import { stamp } from './lib/windows.js';

const VUS = number('VUS', 50);
const SECONDS = duration('1m');

export const options = experiment({
  seconds: SECONDS,
  scenarios: { clients: { executor: 'constant-vus', vus: VUS, duration: `${SECONDS}s` } },
  thresholds: { ...objective(), ...correct },
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('load', { seconds: SECONDS });

export function setup() {
  return { sessions: seed(signUp(VUS + 1), 20), startedAt: Date.now() };
}

export default guarded((data) => {
  stamp(data);
  const session = sessionOf(data);
  const { document: task, tag } = tasks.send(tasks.create(session, 'a task of the load test'));
  tasks.send(tasks.read(session, task.id));
  tasks.send(tasks.list(session, 20));
  tasks.send(tasks.replace(session, task.id, 'another title', tag));
  tasks.send(tasks.patch(session, task.id, { description: 'with a description' }));
  tasks.send(tasks.complete(session, task.id));
  tasks.send(tasks.remove(session, task.id));
});
