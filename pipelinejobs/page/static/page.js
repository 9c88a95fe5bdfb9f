// Keeps the page as the server would show it now: no state of its own, nothing that works only with it.
"use strict";

(() => {
  const main = document.querySelector("main[data-version]");

  // What a refused form has led to is no address to come back to
  if (main?.dataset.moved) history.replaceState(null, "", main.dataset.moved);

  // Where a drawing is wider than the window, what counts is shown
  const showCurrent = () => {
    for (const drawing of document.querySelectorAll(".drawing:not(#timeline)")) {
      const current = drawing.querySelector(".current")?.getBoundingClientRect();
      const frame = drawing.getBoundingClientRect();
      if (current && current.right > frame.right) drawing.scrollLeft += current.right - frame.right + 16;
    }
  };

  // Local times beside the UTC that the server writes
  const localize = (root) => {
    for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
      const local = new Date(time.dateTime).toLocaleString();
      time.dataset.local = local;
      time.title = time.title ? `${time.title}\n${local}` : local;
    }
    for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
  };

  // What was "2 min ago" becomes older while somebody looks
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const grow = () => {
    for (const time of document.querySelectorAll("time.ago:not(.exact)")) {
      const seconds = (Date.now() - new Date(time.dateTime)) / 1000;
      const unit = UNITS.find(([size]) => seconds >= size);
      time.textContent = unit ? `${Math.floor(seconds / unit[0])} ${unit[1]} ago` : "now";
    }
  };

  // The server does not count again more often than every two seconds, so ask again after that
  let later = 0;
  const count = () => {
    clearTimeout(later);
    later = setTimeout(() => fillCounts().catch(() => {}), 2500);
    return fillCounts().catch(() => {});
  };
  const fillCounts = async () => {
    const places = document.querySelectorAll("[data-count]");
    if (!places.length) return;
    const reply = await fetch("/counts", { headers: { Accept: "application/json" } });
    if (!reply.ok) return;
    const counts = await reply.json();
    const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
    for (const place of places) {
      place.textContent = (counts[place.dataset.count] ?? all).toLocaleString("en");
    }
  };

  // What the server wrote, before anybody opened a part of it or a script added to it
  const written = new WeakMap();
  const remember = (root) => {
    for (const live of root.querySelectorAll("[data-live]")) {
      written.set(live, live.innerHTML);
      for (const child of live.children) written.set(child, child.innerHTML);
    }
  };

  const replace = (known, wanted) => {
    const html = wanted.innerHTML;
    if (written.get(known) === html) return;
    const open = [...known.querySelectorAll("details")].map((details) => details.open);
    wanted.querySelectorAll("details").forEach((details, index) => {
      details.open ||= open[index] ?? false;
    });
    known.replaceChildren(...wanted.childNodes);
    written.set(known, html);
  };

  // The children of a list are known by their ids: those that stay are not touched
  const updateList = (list, fresh) => {
    let place = list.firstElementChild;
    for (const wanted of [...fresh.children]) {
      const known = wanted.id && document.getElementById(wanted.id);
      if (known && known.parentElement === list) {
        replace(known, wanted);
        known.className = wanted.className;
        if (known !== place) list.insertBefore(known, place);
        else place = place.nextElementSibling;
      } else {
        written.set(wanted, wanted.innerHTML);
        wanted.classList.add("new");
        list.insertBefore(wanted, place);
      }
    }
    while (place) {
      const following = place.nextElementSibling;
      place.remove();
      place = following;
    }
  };

  const update = (fresh) => {
    const focused = document.activeElement?.id;
    for (const live of document.querySelectorAll("[data-live]")) {
      const wanted = fresh.getElementById(live.id);
      if (!wanted) continue;
      if (live.dataset.live === "list" && live.children.length && wanted.children.length) {
        updateList(live, wanted);
      } else {
        replace(live, wanted);
      }
    }
    if (focused && document.activeElement?.id !== focused) {
      document.getElementById(focused)?.focus();
    }
    document.title = fresh.title;
    localize(document);
    showCurrent();
  };

  let busy = false;
  let again = false;
  const refresh = async () => {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const reply = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (reply.status === 401) {
        location.reload();
        return;
      }
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      const shown = fresh.querySelector("main[data-version]");
      if (shown) {
        main.dataset.version = shown.dataset.version;
        update(fresh);
        await count();
      }
    } finally {
      busy = false;
      if (again) {
        again = false;
        refresh();
      }
    }
  };

  const state = document.getElementById("live");
  const say = (text, kind) => {
    if (!state) return;
    state.textContent = text;
    state.className = kind;
  };

  let source = null;
  const follow = () => {
    if (source || document.hidden || !main?.dataset.version) return;
    source = new EventSource(location.href);
    source.onopen = () => say("live", "on");
    source.onmessage = (message) => {
      if (message.data !== main.dataset.version) refresh().catch(() => {});
    };
    source.onerror = () => {
      say("reconnecting", "off");
      if (source.readyState === EventSource.CLOSED) {
        source = null;
        // it may be the session that has ended
        refresh().catch(() => {});
        setTimeout(follow, 5000);
      }
    };
  };
  // A browser has six connections to a server: pages that nobody sees give theirs back
  const rest = () => {
    source?.close();
    source = null;
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : follow()));
  window.addEventListener("pagehide", rest);
  window.addEventListener("pageshow", follow);

  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("form[data-filters] select, form[data-filters] input[type=checkbox]")) {
      event.target.form.requestSubmit();
    }
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
      navigator.clipboard?.writeText(button.dataset.copy).then(() => {
        button.textContent = "copied";
        setTimeout(() => (button.textContent = "copy"), 1500);
      });
    }
    // who cannot hover sees the exact time by a touch
    const time = event.target.closest("time.ago");
    if (time) {
      time.classList.toggle("exact");
      if (time.classList.contains("exact")) time.textContent = time.title.split("\n")[0];
      else grow();
    }
  });

  // Empty filters do not belong into the address
  document.addEventListener("formdata", (event) => {
    if (!event.target.matches("form[data-filters]")) return;
    for (const [name, value] of [...event.formData]) {
      if (!value) event.formData.delete(name);
    }
  });

  remember(document);
  localize(document);
  showCurrent();
  count();
  setInterval(grow, 30000);
  if (main) follow();
})();
