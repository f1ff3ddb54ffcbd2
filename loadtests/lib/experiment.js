// The options that all scripts share.
import * as pool from './pool.js';
import { ADMIN_URL } from './settings.js';
import { divide } from './windows.js';

export const OPERATIONS = [
  'signup', 'login', 'refresh', 'create', 'read', 'list', 'replace', 'patch', 'complete', 'delete',
];

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
