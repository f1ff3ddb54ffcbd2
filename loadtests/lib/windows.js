// k6 hands only totals to its summary. So each sample carries the number of the window of time it fell into, and a
// threshold without a condition on each window makes k6 keep them apart: that is what the charts are drawn from.
import exec from 'k6/execution';

const WINDOWS = 60;
let width = 1;

export function divide(seconds) {
  width = Math.max(1, Math.ceil(seconds / WINDOWS));
  return { width, count: Math.ceil(seconds / width) };
}

// Seconds since setup() ended.
export function elapsed(data) {
  return (Date.now() - data.startedAt) / 1000;
}

// Everything that this iteration measures belongs to the present window, and carries `tags` besides.
export function stamp(data, tags = {}) {
  Object.assign(exec.vu.metrics.tags, { window: String(Math.floor(elapsed(data) / width)) }, tags);
}
