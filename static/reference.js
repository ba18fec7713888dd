// The API page: reads the OpenAPI document and makes a form of each operation. Everything is text put into elements;
// nothing that comes from anywhere becomes markup.
const root = document.querySelector("[data-reference]");
const base = root.dataset.base;
const token = document.getElementById("token");
const find = document.getElementById("find");
const found = document.getElementById("found");
let fields = 0;

/** An element with properties, attributes (`aria-…`, `data-…`, `for`) and children. */
function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "for" || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

/** The text with its `code` as code. */
function prose(text) {
  return text.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));
}

function field(label, hint, make) {
  const id = `f${fields += 1}`;
  const control = make(id);
  const parts = [el("label", { className: "form-label", for: id }, ...prose(label)), control];
  if (hint) {
    control.setAttribute("aria-describedby", `${id}-hint`);
    parts.push(el("p", { className: "form-hint", id: `${id}-hint` }, ...prose(hint)));
  }
  return [el("div", { className: "mg-field" }, ...parts), control];
}

function input(label, hint, value = "", choices = null) {
  return field(label, hint, (id) => {
    if (!choices) {
      return el("input", { className: "form-control mg-mono", id, value, autocomplete: "off", spellcheck: false });
    }
    return el("select", { className: "form-select", id }, el("option", { value: "" }, "—"),
      ...choices.map((choice) => el("option", { value: choice }, choice)));
  });
}

/** A value that has the shape of a schema, for a start. */
function sample(schema, spec, depth = 0) {
  if (!schema || depth > 6) return null;
  if (schema.$ref) return sample(spec.components.schemas[schema.$ref.split("/").pop()], spec, depth + 1);
  if (schema.default !== undefined) return schema.default;
  if (schema.examples?.length) return schema.examples[0];
  if (schema.enum) return schema.enum[0];
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "object" || schema.properties) {
    const required = schema.required ?? [];
    const names = Object.keys(schema.properties ?? {}).filter((name) => required.length === 0 || required.includes(name));
    return Object.fromEntries(names.map((name) => [name, sample(schema.properties[name], spec, depth + 1)]));
  }
  if (type === "array") return [];
  if (type === "integer" || type === "number") return schema.minimum ?? 0;
  if (type === "boolean") return false;
  return schema.format === "date-time" ? new Date().toISOString() : "";
}

function shape(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const LONGEST = 200_000;

async function send(request, output, button) {
  button.disabled = true;
  output.replaceChildren(el("p", { className: "mg-quiet" }, "Waiting for the answer…"));
  const began = performance.now();
  try {
    const answer = await fetch(request.url, request.options);
    const kind = answer.headers.get("content-type") ?? "";
    const isText = /json|text|xml/.test(kind);
    const body = isText ? await answer.text() : `${(await answer.blob()).size} bytes of ${kind || "nothing"}`;
    const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    const took = Math.round(performance.now() - began);
    const tone = answer.ok ? "mg-tone-ok" : "mg-tone-bad";
    output.replaceChildren(
      el("p", {}, el("span", { className: `mg-badge ${tone}` }, `${answer.status} ${answer.statusText}`.trim()), ` after ${took} ms`),
      el("details", { className: "mg-details" }, el("summary", {}, "Headers"), el("pre", { className: "mg-code", tabIndex: 0 }, headers)),
      el("pre", { className: "mg-code", tabIndex: 0 }, shape(body).slice(0, LONGEST) || "(no body)"),
    );
  } catch (error) {
    output.replaceChildren(el("p", { className: "mg-badge mg-tone-bad" }, `No answer: ${error.message}`));
  }
  button.disabled = false;
}

function form(method, path, operation, spec) {
  const parameters = operation.parameters ?? [];
  const controls = [];
  const parts = [];
  for (const parameter of parameters) {
    const isKey = parameter.name === "Idempotency-Key";
    const choices = parameter.schema?.enum?.filter((choice) => choice !== null);
    const label = `${parameter.name}${parameter.required ? "" : " (optional)"}`;
    const [part, control] = input(label, parameter.description, isKey ? crypto.randomUUID?.() ?? String(Math.random()) : "", choices);
    control.required = Boolean(parameter.required);
    controls.push([parameter, control]);
    parts.push(part);
  }
  const content = operation.requestBody?.content ?? {};
  const kind = Object.keys(content)[0];
  let body = null;
  if (kind) {
    const isJson = kind.includes("json");
    const start = isJson ? JSON.stringify(sample(content[kind].schema, spec) ?? {}, null, 2) : "";
    const [part, control] = field(`Body (${kind})`, "", (id) => el("textarea", {
      className: "form-control mg-mono", id, rows: Math.min(14, start.split("\n").length + 1), value: start, spellcheck: false,
    }));
    body = [kind, control];
    parts.push(part);
  }
  const button = el("button", { className: method === "get" ? "btn btn-primary" : "btn btn-danger" }, `Send ${method.toUpperCase()}`);
  const output = el("div", { role: "status", className: "mg-answer" });
  const made = el("form", {}, ...parts, button, output);
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    let address = path;
    const query = new URLSearchParams();
    const headers = { accept: "application/json, */*" };
    if (token.value.trim()) headers.authorization = `Bearer ${token.value.trim()}`;
    for (const [parameter, control] of controls) {
      const value = control.value.trim();
      if (parameter.in === "path") {
        const encoded = value.split("/").map(encodeURIComponent).join("/");
        address = address.replace(`{${parameter.name}}`, encoded);
      } else if (value && parameter.in === "query") query.append(parameter.name, value);
      else if (value && parameter.in === "header") headers[parameter.name] = value;
    }
    const options = { method: method.toUpperCase(), headers, credentials: "omit", redirect: "manual" };
    if (body && body[1].value.trim()) {
      headers["content-type"] = body[0];
      options.body = body[1].value;
    }
    const asked = query.toString();
    send({ url: `${base}${address}${asked ? `?${asked}` : ""}`, options }, output, button);
  });
  return made;
}

function route(method, path, operation, spec) {
  const summary = el("summary", {},
    el("span", { className: "mg-method" }, method.toUpperCase()), " ",
    el("code", {}, path), " ", el("span", { className: "mg-quiet" }, operation.summary ?? ""));
  const made = el("details", { className: "mg-details mg-route" }, summary);
  made.dataset.words = `${method} ${path} ${operation.summary ?? ""} ${operation.description ?? ""}`.toLowerCase();
  // Made when it is looked at: there are hundreds.
  made.addEventListener("toggle", () => {
    if (made.open && made.childElementCount === 1) {
      made.append(el("p", {}, ...prose(operation.description ?? "")), form(method, path, operation, spec));
    }
  });
  return made;
}

function show(spec) {
  const groups = new Map();
  for (const [path, operations] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags?.[0] ?? path.split("/")[3];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(route(method, path, operation, spec));
    }
  }
  const sections = [...groups].map(([tag, routes]) => {
    const id = `tag-${tag}`;
    return el("section", { className: "mg-card", "aria-labelledby": id }, el("h2", { id }, tag), ...routes);
  });
  document.getElementById("routes").replaceChildren(...sections);
  const all = [...document.querySelectorAll(".mg-route")];
  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const one of all) {
      one.hidden = !words.every((word) => one.dataset.words.includes(word));
      count += one.hidden ? 0 : 1;
    }
    for (const section of sections) section.hidden = !section.querySelector(".mg-route:not([hidden])");
    found.textContent = count === 1 ? "1 route" : `${count} routes`;
  };
  find.addEventListener("input", filter);
  find.disabled = false;
  filter();
}

try {
  const answer = await fetch(`${base}/api/openapi.json`, { credentials: "omit" });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  show(await answer.json());
} catch (error) {
  found.textContent = `The OpenAPI document could not be read: ${error.message}`;
}
