// Before the first paint, so that nobody sees a page in the wrong colours, or parts of it move.
"use strict";

(() => {
  const { documentElement } = document;
  documentElement.classList.add("scripted");
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") documentElement.dataset.theme = theme;
  } catch {
    // a browser that keeps nothing follows the system
  }
})();
