// Does the service keep its objective under the mix that task services really see, and beside it for pollers of lists?
//
// The mix: two thirds single reads, a quarter lists, a few writes; three of four clients send the ETag that they
// remember. The pollers: clients that show one list of 20 and ask whether it has changed; one time in twenty it has.
// Both arrival rates (RATE and POLLS a second) are open: a slow service is not spared by clients that wait for it.
import { experiment, guarded } from './lib/experiment.js';
import { poll } from './lib/polling.js';
import { pollList } from './lib/pollers.js';
import { seed, sessionOf, signUp } from './lib/session.js';
import { duration, number } from './lib/settings.js';
import { correct, objective } from './lib/slo.js';
import { summary } from './lib/summary.js';
import { stamp } from './lib/windows.js';

const USERS = number('USERS', 50);
const RATE = number('RATE', 200);
const POLLS = number('POLLS', 100);
const WRITES = 0.05;
const PAGE = 20;
const SECONDS = duration('1m');

const apart = ['client:mix', 'client:poller'];

export const options = experiment({
  seconds: SECONDS,
  scenarios: { clients: arrivals('mix', RATE), pollers: arrivals('pollers', POLLS) },
  thresholds: {
    ...objective('client:mix'),
    ...objective('client:poller'),
    ...correct,
    list_not_modified: ['rate>0'],
    ...few('clients', RATE),
    ...few('pollers', POLLS),
  },
  apart,
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('polling', {
  seconds: SECONDS,
  apart,
  findings: ({ metrics }) => [
    `${share(metrics.not_modified)} of the mix's conditional requests were answered with 304`,
    `${share(metrics.list_not_modified)} of the pollers' requests were answered with 304`,
  ],
});

export function setup() {
  const sessions = seed(signUp(USERS), PAGE);
  const pollers = seed(signUp(USERS), PAGE);
  return { sessions, pollers, startedAt: Date.now() };
}

export const mix = guarded((data) => {
  stamp(data, { client: 'mix' });
  poll(sessionOf(data));
});

export const pollers = guarded((data) => {
  stamp(data, { client: 'poller' });
  pollList(sessionOf({ sessions: data.pollers }), WRITES);
});

function arrivals(exec, rate) {
  return {
    executor: 'constant-arrival-rate',
    exec,
    rate,
    duration: `${SECONDS}s`,
    preAllocatedVUs: Math.max(USERS, rate / 2),
    maxVUs: Math.max(USERS, rate * 2),
  };
}

function few(scenario, rate) {
  return { [`dropped_iterations{scenario:${scenario}}`]: [`count<${0.01 * rate * SECONDS}`] };
}

function share({ values: { passes, fails } }) {
  return `${((100 * passes) / (passes + fails)).toFixed(0)} %`;
}
