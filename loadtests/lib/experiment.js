// The options that all scripts share.
import { Counter } from 'k6/metrics';

import * as pool from './pool.js';
import { ADMIN_URL } from './settings.js';
import { divide } from './windows.js';

export const OPERATIONS = [
  'signup', 'login', 'refresh', 'create', 'read', 'list', 'replace', 'patch', 'complete', 'delete',
];

const scriptErrors = new Counter('script_errors');

// `seconds`: how long the scenarios run in all; `apart`: further tags to keep apart for the summary.
export function experiment({ seconds, scenarios, thresholds, apart = [], ...others }) {
  const windows = divide(seconds);
  const kept = {};
  for (let i = 0; i < windows.count; i++) {
    kept[`http_req_duration{target:tasks,window:${i}}`] = [];
    kept[`http_req_failed{target:tasks,window:${i}}`] = [];
    for (const name of ADMIN_URL ? pool.SAMPLED : []) kept[`${name}{window:${i}}`] = [];
  }
  for (const tags of ['target:tasks', ...OPERATIONS.map((name) => `name:${name}`), ...apart]) {
    kept[`http_req_duration{${tags}}`] = [];
    kept[`http_req_failed{${tags}}`] = [];
  }
  for (const scenario of Object.keys(scenarios)) kept[`dropped_iterations{scenario:${scenario}}`] = [];
  return {
    scenarios: ADMIN_URL ? { ...scenarios, pool: pool.scenario(seconds) } : scenarios,
    thresholds: { ...kept, ...thresholds },
    summaryTrendStats: ['count', 'min', 'med', 'avg', 'p(95)', 'p(99)', 'max'],
    setupTimeout: '5m',
    batch: 50,
    batchPerHost: 50,
    ...others,
  };
}

// k6 logs an exception in an iteration and passes the run all the same; counted, it fails a threshold.
export function guarded(iteration) {
  return (data) => {
    try {
      const done = iteration(data);
      return done instanceof Promise ? done.catch(failed) : done;
    } catch (error) {
      return failed(error);
    }
  };
}

function failed(error) {
  scriptErrors.add(1);
  throw error;
}
