// Short ways to the document.

export const $ = (id) => document.getElementById(id);

/** A new element with properties, such as `{className: "x", onclick: f}`, attributes under `attributes`, and children. */
export function make(tag, { attributes = {}, dataset = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

/** Seconds as people read them: 0:12.3, 1:02.3, 1:01:02.3. */
export function clock(seconds) {
  const tenths = Math.round(10 * seconds);
  const [hours, minutes] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60];
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Let the browser save a text or blob. */
export function download(content, name) {
  const link = make("a", { href: URL.createObjectURL(new Blob([content])), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
