// Comfort: keys, the theme and the time zone. What somebody chooses is kept in this browser alone.
"use strict";

(() => {
  const remembered = (name) => {
    try {
      return localStorage.getItem(name) ?? "";
    } catch {
      return "";
    }
  };
  const remember = (name, value) => {
    try {
      if (value) localStorage.setItem(name, value);
      else localStorage.removeItem(name);
    } catch {
      // it holds for this page
    }
  };

  const theme = document.getElementById("theme");
  theme.value = remembered("theme");
  theme.addEventListener("change", () => {
    remember("theme", theme.value);
    if (theme.value) document.documentElement.dataset.theme = theme.value;
    else delete document.documentElement.dataset.theme;
  });

  const zone = document.getElementById("zone");
  zone.value = remembered("zone");
  zone.addEventListener("change", () => {
    remember("zone", zone.value);
    document.dispatchEvent(new Event("zone"));
  });
  if (zone.value) document.dispatchEvent(new Event("zone"));

  const help = document.getElementById("keys");
  document.getElementById("help").addEventListener("click", () => help.showModal());
  const enabled = document.getElementById("keys-on");
  enabled.checked = remembered("keys") !== "off";
  enabled.addEventListener("change", () => remember("keys", enabled.checked ? "" : "off"));

  const step = (by) => {
    const links = [...document.querySelectorAll("tbody th a:first-of-type, ol.history > li")];
    const place = links.indexOf(document.activeElement);
    const next = links[place === -1 ? (by > 0 ? 0 : links.length - 1) : place + by];
    if (next?.matches("li")) next.tabIndex = -1;
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };
  const actions = {
    "/": () => document.querySelector("main input[type=search]")?.focus(),
    "?": () => help.showModal(),
    j: () => step(1),
    k: () => step(-1),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || !enabled.checked) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  });
})();
