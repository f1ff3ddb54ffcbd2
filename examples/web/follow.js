// A copy of all of the user's tasks that misses no change: pages first, then the stream, and again after any loss.

import { own, request } from "./session.js";

const PAUSE_MS = 1_000;
const SILENCE_MS = 30_000; // the service sends a comment every 15 s

export class Copy {
  #tasks = new Map();
  #since = null;
  #stopped = new AbortController();
  #told;

  /** `told` has `changed(type)` for each change, and `state(name, error)`: "reading", "live", "lost" or "ended". */
  constructor(told) {
    this.#told = told;
  }

  get tasks() {
    return [...this.#tasks.values()];
  }

  stop() {
    this.#stopped.abort();
  }

  /** A task as an answer has it; what is older than what is here already is no news. */
  put(task) {
    const known = this.#tasks.get(task.id);
    if (!known || known.updated_at < task.updated_at) this.#tasks.set(task.id, task);
  }

  remove(id, deletedAt = null) {
    const known = this.#tasks.get(id);
    if (known && (deletedAt === null || known.updated_at < deletedAt)) this.#tasks.delete(id);
  }

  async follow() {
    this.#told.state("reading");
    while (!this.#stopped.signal.aborted) {
      try {
        await this.#read();
        await this.#listen();
      } catch (error) {
        if (this.#stopped.signal.aborted) return;
        if (error.status === 401) return this.#told.state("ended", error);
        if (error.status === 410) this.#forget();
        else this.#told.state("lost", error);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  // Away for longer than the trash keeps what was deleted.
  #forget() {
    this.#since = null;
    this.#tasks.clear();
  }

  async #read() {
    let more = true;
    while (more) {
      const query = this.#since ? `?since=${encodeURIComponent(this.#since)}` : "";
      const { body } = await request("GET", `/tasks/changes${query}`, { signal: this.#stopped.signal });
      body.changes.forEach((change) => this.#apply(change));
      this.#since = body.next;
      more = body.more;
    }
    this.#told.changed("task");
  }

  async #listen() {
    const silence = new AbortController();
    const signal = AbortSignal.any([silence.signal, this.#stopped.signal]);
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      // EventSource cannot send Authorization.
      const headers = { Accept: "text/event-stream", "Last-Event-ID": this.#since };
      const response = await own("GET", "/tasks/changes", { headers, signal });
      this.#told.state("live");
      let rest = "";
      for await (const text of pieces(response.body)) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        const lines = (rest + text).split("\n");
        rest = lines.pop();
        lines.forEach((line) => this.#take(line));
      }
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  #take(line) {
    if (line.startsWith("id: ")) this.#since = line.slice(4);
    if (!line.startsWith("data: ")) return;
    const change = JSON.parse(line.slice(6));
    this.#apply(change);
    this.#told.changed(change.type);
  }

  #apply(change) {
    if (change.type === "task") this.put(change.task);
    else this.remove(change.id, change.deleted_at);
  }
}

async function* pieces(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
