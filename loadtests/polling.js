// Does the service keep its objective under the mix that task services really see?
//
// Two thirds single reads, a quarter lists, a few writes; three of four clients send the ETag that they remember. The
// arrival rate is open (RATE, 200 a second): a slow service is not spared by clients that wait for it.
import { experiment, guarded } from './lib/experiment.js';
import { poll } from './lib/polling.js';
import { seed, sessionOf, signUp } from './lib/session.js';
import { duration, number } from './lib/settings.js';
import { correct, objective } from './lib/slo.js';
import { summary } from './lib/summary.js';
import { stamp } from './lib/windows.js';

const USERS = number('USERS', 50);
const RATE = number('RATE', 200);
const SECONDS = duration('1m');

export const options = experiment({
  seconds: SECONDS,
  scenarios: {
    clients: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      duration: `${SECONDS}s`,
      preAllocatedVUs: Math.max(USERS, RATE / 2),
      maxVUs: Math.max(USERS, RATE * 2),
    },
  },
  thresholds: { ...objective(), ...correct, 'dropped_iterations{scenario:clients}': [`count<${0.01 * RATE * SECONDS}`] },
});

export { samplePool } from './lib/pool.js';
export const handleSummary = summary('polling', {
  seconds: SECONDS,
  findings: ({ metrics }) => {
    const { passes, fails } = metrics.not_modified.values;
    return [`${((100 * passes) / (passes + fails)).toFixed(0)} % of the conditional requests were answered with 304`];
  },
});

export function setup() {
  return { sessions: seed(signUp(USERS), 20), startedAt: Date.now() };
}

export default guarded((data) => {
  stamp(data);
  poll(sessionOf(data));
});
