// All of the API through generated types: node generated.js BASE_URL (docs/examples/generated-typescript.md).

import createClient from "openapi-fetch";
import type { components, paths } from "./tasks.js";

type Schemas = components["schemas"];
type Media = "application/json" | "application/problem+json"; // answers that are read whole: the stream is none of them
type Api = ReturnType<typeof createClient<paths, Media>>;

async function main(base: string): Promise<void> {
  const visitor = createClient<paths>({ baseUrl: base });
  const email = `${crypto.randomUUID()}@example.com`;
  const session = known(await visitor.POST("/api/auth/signup", { body: { email, password: "correct horse" } }));
  const headers = { Authorization: `Bearer ${session.access_token}` };
  const api: Api = createClient<paths, Media>({ baseUrl: base, headers });
  const user_id = session.user.id;

  // Sent twice with one key, as after a lost answer: one task.
  const header = { "Idempotency-Key": crypto.randomUUID() };
  const body: Schemas["NewTask"] = { title: "buy milk", due_on: "2030-02-28", priority: "high", labels: ["shop"] };
  const first = await api.POST("/api/{user_id}/tasks", { params: { path: { user_id }, header }, body });
  const again = await api.POST("/api/{user_id}/tasks", { params: { path: { user_id }, header }, body });
  const task = known(first);
  console.log("created", task.title, task.due_on, task.priority, known(again).id === task.id);

  // A merge patch: null clears, what is not named stays. Only if nobody has changed the task meanwhile.
  const one = { path: { user_id, task_id: task.id } };
  const seen = { "If-Match": first.response.headers.get("ETag") ?? "" };
  const patch = (change: Schemas["TaskPatch"]) =>
    api.PATCH("/api/{user_id}/tasks/{task_id}", {
      params: { ...one, header: seen },
      body: change,
      headers: { "Content-Type": "application/merge-patch+json" },
    });
  const patched = known(await patch({ due_on: null }));
  const late = await patch({ title: "late" });
  console.log("patched", patched.due_on, patched.labels, late.error?.status, late.error?.code);

  const since = known(await api.GET("/api/{user_id}/tasks/changes", { params: { path: { user_id } } })).next;
  const creations = [0, 1, 2, 3].map((n) => ({ op: "create" as const, task: { title: `task ${n}` } }));
  const operations: Schemas["BatchOperation"][] = [
    ...creations,
    { op: "complete", id: task.id },
    { op: "patch", id: task.id, task: { description: "oat" } },
  ];
  known(await api.POST("/api/{user_id}/tasks/batch", { params: { path: { user_id } }, body: { operations } }));
  const titles: string[] = [];
  for await (const each of allTasks(api, user_id)) titles.push(each.title);
  console.log("paged", titles);
  const query = { priority: ["high" as const, "urgent" as const], completed: true, label: ["shop"] };
  const urgent = known(await api.GET("/api/{user_id}/tasks", { params: { path: { user_id }, query } }));
  console.log("filtered", urgent.map((each) => [each.title, each.description]));

  await api.DELETE("/api/{user_id}/tasks/{task_id}", { params: one });
  known(await api.POST("/api/{user_id}/trash/{task_id}/restore", { params: one }));
  const told: string[] = [];
  for await (const change of followed(api, user_id, since)) {
    if (change.type === "task") told.push(change.task.title);
    if (told.at(-1) === "buy milk") break; // restored, and so the last change
  }
  console.log("followed", told);
}

/** What was asked for; a problem is thrown. */
function known<T>({ data, error }: { data?: T; error?: Schemas["Problem"] }): T {
  if (data === undefined) throw new Error(error ? `${error.code}: ${error.detail}` : "no answer");
  return data;
}

/** Page by page: the next page's cursor stands in `Link`. */
async function* allTasks(api: Api, user_id: string): AsyncGenerator<Schemas["Task"]> {
  let cursor: string | undefined;
  do {
    const query = { limit: 2, ...(cursor === undefined ? {} : { cursor }) };
    const page = await api.GET("/api/{user_id}/tasks", { params: { path: { user_id }, query } });
    yield* known(page);
    cursor = /[?&]cursor=([^&>]+)/.exec(page.response.headers.get("Link") ?? "")?.[1];
  } while (cursor !== undefined);
}

/** The stream, of which the types know what its lines hold. It ends when its reader leaves. */
async function* followed(api: Api, user_id: string, since: string): AsyncGenerator<Schemas["Change"]> {
  const params = { path: { user_id }, header: { "Last-Event-ID": since } };
  const headers = { Accept: "text/event-stream" };
  const { response, error } = await api.GET("/api/{user_id}/tasks/changes", { params, headers, parseAs: "stream" });
  if (error || response.body === null) throw new Error(error?.code ?? "no stream");
  let rest = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
  }
}

await main(process.argv[2] ?? "http://127.0.0.1:8000");
