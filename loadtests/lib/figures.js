// How figures are written, in the terminal and on the page.
export function round(value) {
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : String(Number(value.toFixed(4)));
}

export function table(head, lines) {
  const all = [head, ...lines.map((line) => line.map(String))];
  const widths = head.map((_, i) => Math.max(...all.map((line) => line[i].length)));
  return all.map((line) => line.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join('  '));
}

export const HEAD = ['operation', 'requests', 'per s', 'failed', 'median ms', 'p95 ms', 'p99 ms', 'max ms'];

export function cells({ name, count, rate, failed, times }) {
  return [name, count, round(rate), failed, ...['med', 'p(95)', 'p(99)', 'max'].map((key) => round(times[key]))];
}

// What the admin port told; times are the means of a second, and the worst of these.
export function sampled({ inUse, maximum, waiting, wait, timeouts, memory, lag, cpu }) {
  const late = ({ avg = 0, max = 0 }) => `${round(avg)} ms, at worst ${round(max)} ms`;
  return [
    `pool: at most ${inUse} of ${maximum} connections in use and ${waiting} requests waiting, ${timeouts} gave up`,
    `wait for a connection: ${late(wait)}; lateness of the event loop: ${late(lag)}`,
    `memory: ${memory.join(' to ')} MB; processor: ${round(cpu.avg || 0)} cores, at most ${round(cpu.max || 0)}`,
  ];
}
