// The page: who is logged in, what was refused, and the parts that it consists of.

import { Copy } from "./follow.js";
import { List, part, values } from "./list.js";
import { enter, leave, request, session } from "./session.js";

const find = (selector) => document.querySelector(selector);
const STATES = { reading: "reading …", live: "live", lost: "connection lost, trying again …", ended: "" };

let copy = null;
let list = null;

/** Runs an action; undefined if it was refused, which is shown. `otherwise` may look at the refusal too. */
async function attempt(action, otherwise = () => {}) {
  find("#refusal").hidden = true;
  try {
    return await action();
  } catch (error) {
    if (error.status === undefined) throw error;
    refused(error);
    await attemptQuietly(() => otherwise(error));
    if (error.status === 401 && !session()) present();
    return undefined;
  }
}

async function attemptQuietly(action) {
  try {
    await action();
  } catch (error) {
    if (error.status === undefined) throw error;
  }
}

function refused({ status, problem }) {
  const shown = find("#refusal");
  shown.querySelector("h2").textContent = status ? `${status} ${problem.title}` : problem.title;
  shown.querySelector("p").textContent = problem.detail ?? "";
  const errors = (problem.errors ?? []).map(({ pointer, message }) => {
    const line = document.createElement("li");
    line.textContent = `${pointer}: ${message}`;
    return line;
  });
  shown.querySelector("ul").replaceChildren(...errors);
  shown.querySelector("code").textContent = [problem.code, problem.request_id].filter(Boolean).join(" · ");
  shown.hidden = false;
}

/** Shows what belongs to whoever is logged in, here or in another window. */
function present() {
  const current = session();
  find("#entry").hidden = current !== null;
  for (const selector of ["main", "#who", "#state"]) find(selector).hidden = current === null;
  copy?.stop();
  copy = null;
  find("#tasks").replaceChildren();
  find("#trash ul").replaceChildren();
  if (current === null) return;
  find("#email").textContent = current.user.email;
  copy = new Copy({ changed: (type) => changed(type), state: (name) => told(name) });
  list = new List(copy, attempt);
  copy.follow();
}

function changed(type) {
  list.show();
  if (type === "deleted" || find("#trash").open) attemptQuietly(showTrash);
}

function told(name) {
  find("#state").textContent = STATES[name];
  find("#state").className = name;
  if (name === "ended") present();
}

async function showTrash() {
  if (!find("#trash").open) return;
  const { body } = await request("GET", "/trash?limit=50");
  find("#trash ul").replaceChildren(...body.map(deletedRow));
}

function deletedRow(task) {
  const row = part("#deleted");
  const path = `/trash/${task.id}`;
  row.querySelector(".title").textContent = task.title;
  row.querySelector(".restore").onclick = async () => {
    await attempt(async () => copy.put((await request("POST", `${path}/restore`)).body));
    list.show();
    await attemptQuietly(showTrash);
  };
  row.querySelector(".erase").onclick = async () => {
    await attempt(() => request("DELETE", path));
    await attemptQuietly(showTrash);
  };
  return row;
}

find("#entry").onsubmit = async (event) => {
  event.preventDefault();
  const { email, password } = event.target.elements;
  const how = event.submitter?.name ?? "login";
  const entered = await attempt(async () => {
    await enter(how, email.value, password.value);
    return true;
  });
  if (!entered) return;
  event.target.reset();
  present();
};

// The same key until it is there or something else is asked for: sent again after a lost answer, it is still one task.
let key = crypto.randomUUID();
find("#add").oninput = () => (key = crypto.randomUUID());
find("#add").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target;
  const body = values(form);
  form.inert = true; // nothing typed meanwhile is lost with what was sent
  const added = await attempt(() => request("POST", "/tasks", { body, headers: { "Idempotency-Key": key } }));
  form.inert = false;
  form.elements.title.focus();
  if (!added) return;
  key = crypto.randomUUID();
  copy.put(added.body);
  list.show();
  form.reset();
};

find("#leave").onclick = () => {
  const left = leave();
  present();
  attemptQuietly(() => left);
};
find("#dismiss").onclick = () => (find("#refusal").hidden = true);
find("#trash").ontoggle = () => attempt(showTrash);

// Another window has logged in or out; new tokens of the same user are nothing to show.
window.addEventListener("storage", ({ key: changedKey, oldValue, newValue }) => {
  const user = (text) => text && JSON.parse(text).user.id;
  if (changedKey === null || user(oldValue) !== user(newValue)) present();
});

present();
