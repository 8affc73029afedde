// The API as openapi.json describes it.
import { $, make } from "./dom.js";

const METHODS = ["get", "post", "put", "delete"];

function resolved(schema, all) {
  const name = schema?.$ref?.split("/").at(-1);
  return name ? { name, ...all[name] } : (schema ?? {});
}

/** What a value may be, in few words. */
function kind(schema, all) {
  const { name, type, enum: values, const: value, anyOf, items, format } = resolved(schema, all);
  if (anyOf) return anyOf.filter((one) => one.type !== "null").map((one) => kind(one, all)).join(" or ");
  if (value !== undefined) return JSON.stringify(value);
  if (values) return values.join(", ");
  if (type === "array") return `list of ${kind(items, all)}`;
  if (format === "binary" || schema.contentMediaType) return "file";
  return name ?? type ?? "anything";
}

function table(properties, required, all) {
  const rows = Object.entries(properties).map(([name, schema]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, make("code", {}, name), required.includes(name) ? " (required)" : ""),
      make("td", {}, kind(schema, all)),
      make("td", {}, schema.description ?? resolved(schema, all).description ?? ""),
    ),
  );
  return make("div", { className: "fields" }, make("table", {}, make("tbody", {}, ...rows)));
}

function part(title, schema, all) {
  const { properties, required = [], anyOf } = resolved(schema, all);
  if (anyOf) return anyOf.flatMap((one) => part(title, one, all));
  if (!properties) return [];
  return [make("h3", {}, title), table(properties, required, all)];
}

function route(path, method, about, all) {
  const details = make("details", {}, make("summary", {}, make("code", {}, `${method.toUpperCase()} ${path}`), ` ${about.description ?? about.summary}`));
  for (const parameter of about.parameters ?? [])
    details.append(table({ [parameter.name]: parameter.schema }, parameter.required ? [parameter.name] : [], all));
  for (const [type, { schema }] of Object.entries(about.requestBody?.content ?? {})) details.append(...part(type, schema, all));
  for (const [status, { content = {} }] of Object.entries(about.responses ?? {}))
    for (const { schema } of Object.values(content)) if (status < 300) details.append(...part(`${status}`, schema, all));
  if (about.requestBody?.content?.["multipart/form-data"])
    details.append(make("pre", {}, `curl ${new URL(path.slice(1), document.baseURI)} -F file=@recording.wav`));
  return details;
}

async function draw() {
  const api = await (await fetch("openapi.json")).json();
  const all = api.components?.schemas ?? {};
  $("about").textContent = api.info.description.replaceAll("`", "");
  for (const [path, methods] of Object.entries(api.paths))
    for (const method of METHODS) if (methods[method]) $("routes").append(route(path, method, methods[method], all));
}

draw().catch((error) => ($("error").textContent = error.message));
