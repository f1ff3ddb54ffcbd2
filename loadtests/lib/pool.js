// The service's own view, sampled from its admin port once a second beside the latencies that clients see.
import http from 'k6/http';
import { Counter, Gauge, Trend } from 'k6/metrics';

import { ADMIN_URL } from './settings.js';
import { elapsed, stamp } from './windows.js';

export const SAMPLED = [
  'pool_in_use', 'pool_waiting', 'pool_wait_ms', 'requests_in_progress', 'resident_mb', 'loop_lag_ms', 'service_cpu',
];

const trends = Object.fromEntries(SAMPLED.map((name) => [name, new Trend(name)]));
const maximum = new Gauge('pool_max');
const timeouts = new Counter('pool_acquire_timeouts');
const growth = new Trend('resident_growth_mb'); // beyond what it had after the first fifth of the run
let settlingSeconds;
let before;
let sampledAt;
let settled;

export function scenario(seconds) {
  settlingSeconds = seconds / 5;
  return {
    executor: 'constant-arrival-rate',
    exec: 'samplePool',
    rate: 1,
    duration: `${seconds}s`,
    preAllocatedVUs: 1,
    maxVUs: 1,
    gracefulStop: '2s',
  };
}

export function samplePool(data) {
  stamp(data);
  const now = scrape();
  if (now === null) return;
  trends.pool_in_use.add(now('db_pool_connections{state="in_use"}'));
  trends.pool_waiting.add(now('db_pool_waiting_requests') + now('http_requests_queued'));
  trends.requests_in_progress.add(now('http_requests_in_progress'));
  maximum.add(now('db_pool_max_connections'));
  const resident = now('process_resident_memory_bytes') / 1e6;
  trends.resident_mb.add(resident);
  if (elapsed(data) > settlingSeconds) settled ??= resident;
  if (settled) growth.add(Math.max(resident - settled, 0));
  if (before) {
    timeouts.add(now('db_pool_acquire_timeouts_total') - before('db_pool_acquire_timeouts_total'));
    addCpu(now);
    addMean(trends.loop_lag_ms, 'event_loop_lag_seconds', now);
    addMean(trends.pool_wait_ms, 'db_pool_acquire_seconds', now);
  }
  before = now;
  sampledAt = Date.now();
}

// The processor time that the service took since the last sample, in cores.
function addCpu(now) {
  const seconds = now('process_cpu_seconds_total') - before('process_cpu_seconds_total');
  trends.service_cpu.add(seconds / ((Date.now() - sampledAt) / 1000));
}

// The mean of what a histogram saw since the last sample, in milliseconds.
function addMean(trend, histogram, now) {
  const [count, sum] = ['count', 'sum'].map((of) => now(`${histogram}_${of}`) - before(`${histogram}_${of}`));
  if (count > 0) trend.add((sum / count) * 1000);
}

// A function from a sample's name to its value, or null when the admin port did not answer.
export function scrape() {
  const response = http.get(`${ADMIN_URL}/metrics`, { tags: { target: 'admin', name: 'metrics' }, timeout: '5s' });
  if (response.status !== 200) return null;
  const values = new Map();
  for (const line of response.body.split('\n')) {
    const space = line.lastIndexOf(' ');
    if (space > 0 && line[0] !== '#') values.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return (name) => values.get(name) || 0;
}
