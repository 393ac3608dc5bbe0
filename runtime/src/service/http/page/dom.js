// Small helpers of the page.
export const $ = (id) => document.getElementById(id);
export const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
};
export const words = (label) => label.replaceAll("_", " ");
export const capital = (text) => text.replace(/^./, (c) => c.toUpperCase());
export const percent = (x) => `${Math.round(100 * x)} %`;
