// The list: one row a task, which stays the same element while its task changes, so that nothing typed gets lost.

import { request } from "./session.js";

const SHOWN = 200;

export class List {
  #rows = new Map();
  #element = document.querySelector("#tasks");
  #copy;
  #attempt;
  #label = null;

  /** `attempt` runs an action and shows what the service refuses. */
  constructor(copy, attempt) {
    this.#copy = copy;
    this.#attempt = attempt;
  }

  show() {
    const tasks = this.#copy.tasks.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    this.#showLabels(tasks);
    const found = tasks.filter((task) => this.#label === null || task.labels.includes(this.#label));
    this.#arrange(found.slice(0, SHOWN));
    const rest = document.querySelector("#rest");
    rest.hidden = found.length <= SHOWN;
    rest.textContent = `and ${found.length - SHOWN} more`;
  }

  #arrange(tasks) {
    const wanted = new Set(tasks.map((task) => task.id));
    for (const [id, row] of this.#rows) {
      if (wanted.has(id) || row.editing) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
    let place = this.#element.firstElementChild;
    for (const task of tasks) {
      const row = this.#row(task);
      row.show(task);
      if (row.element === place) place = place.nextElementSibling;
      else this.#element.insertBefore(row.element, place);
    }
  }

  #row(task) {
    if (!this.#rows.has(task.id)) this.#rows.set(task.id, new Row(this.#copy, this.#attempt, () => this.show()));
    return this.#rows.get(task.id);
  }

  #showLabels(tasks) {
    const counts = new Map();
    for (const label of tasks.flatMap((task) => task.labels)) counts.set(label, (counts.get(label) ?? 0) + 1);
    if (!counts.has(this.#label)) this.#label = null;
    const buttons = [...counts.keys()].sort().map((label) => {
      const button = document.createElement("button");
      button.textContent = `${label} ${counts.get(label)}`;
      button.setAttribute("aria-pressed", label === this.#label);
      button.onclick = () => {
        this.#label = label === this.#label ? null : label;
        this.show();
      };
      return button;
    });
    document.querySelector("#labels").replaceChildren(...buttons);
  }
}

class Row {
  element = part("#row");
  editing = false;
  #task = null;
  #copy;
  #attempt;
  #changed;

  constructor(copy, attempt, changed) {
    this.#copy = copy;
    this.#attempt = attempt;
    this.#changed = changed;
    this.#find("input").onchange = () => this.#tick();
    this.#find(".edit").onclick = () => this.#edit();
    this.#find(".delete").onclick = () => this.#delete();
  }

  show(task) {
    this.#task = task;
    const tick = this.#find("input");
    tick.checked = task.completed;
    tick.setAttribute("aria-label", task.title);
    this.#find(".title").textContent = task.title;
    this.#find(".title").title = task.description ?? "";
    this.#find(".labels").replaceChildren(...task.labels.map((label) => withText("span", label)));
    const due = this.#find("time");
    due.textContent = task.due_on ?? (task.due_at ? new Date(task.due_at).toLocaleString() : "");
    due.classList.toggle("late", !task.completed && task.due_on !== null && task.due_on < today());
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  async #tick() {
    const body = { completed: this.#find("input").checked };
    await this.#attempt(async () => this.#copy.put((await request("PATCH", this.#path(), { body })).body));
    this.show(this.#task); // what it was, if that was refused
    this.#changed();
  }

  async #delete() {
    await this.#attempt(async () => {
      await request("DELETE", this.#path());
      this.#copy.remove(this.#task.id);
    });
    this.#changed();
  }

  // Measured by the state that the form shows: whoever changed the task meanwhile is not overwritten unseen.
  async #edit() {
    const read = await this.#attempt(() => request("GET", this.#path()));
    if (!read || this.editing) return;
    this.editing = true;
    let { etag } = read;
    const form = part("#editor");
    fill(form, read.body);
    const shown = values(form);
    form.querySelector(".cancel").onclick = () => this.#close(form);
    form.onsubmit = async (event) => {
      event.preventDefault();
      const body = difference(shown, values(form));
      const saved = await this.#attempt(
        () => request("PATCH", this.#path(), { body, headers: { "If-Match": etag } }),
        async (refusal) => {
          if (refusal.status !== 412) return;
          const current = await request("GET", this.#path());
          etag = current.etag;
          const stored = form.querySelector(".stored");
          stored.hidden = false;
          stored.textContent = `It has been changed meanwhile, to “${current.body.title}”. Save again to overwrite that.`;
        },
      );
      if (!saved) return;
      this.#copy.put(saved.body);
      this.#close(form);
    };
    this.element.append(form);
    form.elements.title.focus();
  }

  #close(form) {
    this.editing = false;
    form.remove();
    this.#changed();
  }

  #path() {
    return `/tasks/${this.#task.id}`;
  }
}

/** What a form for a task holds, as the API wants it. */
export function values(form) {
  const { title, description, labels, due_on } = form.elements;
  const found = { title: title.value, labels: labels.value.split(",").map((label) => label.trim()).filter(Boolean) };
  if (description) found.description = description.value || null;
  found.due_on = due_on.value || null;
  return found;
}

export function part(template) {
  return document.querySelector(template).content.firstElementChild.cloneNode(true);
}

function fill(form, task) {
  form.elements.title.value = task.title;
  form.elements.description.value = task.description ?? "";
  form.elements.labels.value = task.labels.join(", ");
  form.elements.due_on.value = task.due_on ?? "";
}

// Only what was changed in the form is sent: what it cannot show, as a moment or a label with a comma, stays what it is,
// and so does what somebody else has changed beside it.
function difference(shown, wanted) {
  return Object.fromEntries(
    Object.entries(wanted).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(shown[name])),
  );
}

function withText(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text });
}

function today() {
  const now = new Date();
  return new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}
