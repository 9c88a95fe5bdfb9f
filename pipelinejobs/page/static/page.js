// Keeps the page as the server would show it now: no state of its own, nothing that works only with it.
"use strict";

(() => {
  const main = document.querySelector("main[data-version]");

  // What a refused form has led to is no address to come back to
  if (main?.dataset.moved) history.replaceState(null, "", main.dataset.moved);

  // Who came from a list with filters finds it so again
  const list = document.querySelector('.crumbs a[href="/jobs"]');
  const before = document.referrer ? new URL(document.referrer) : location;
  if (list && before.origin === location.origin && before.pathname === "/jobs") list.href = before.pathname + before.search;

  // Where a drawing is wider than the window, what counts is shown
  const showCurrent = () => {
    for (const drawing of document.querySelectorAll(".drawing:not(#timeline)")) {
      const current = drawing.querySelector(".current")?.getBoundingClientRect();
      const frame = drawing.getBoundingClientRect();
      if (current && current.right > frame.right) drawing.scrollLeft += current.right - frame.right + 16;
    }
  };

  // Who chooses local times types them, too; the server reads UTC
  const toLocal = (utc) => new Date(`${utc}Z`).toLocaleString("sv").replace(" ", "T").slice(0, utc.length);
  const toUtc = (local) => new Date(local).toISOString().slice(0, local.length);
  document.addEventListener("formdata", (event) => {
    for (const field of event.target.querySelectorAll("[data-shown=local]")) {
      if (field.value) event.formData.set(field.name, toUtc(field.value));
    }
  });

  // Times are written in UTC: the local one is beside it, or the other way round
  const localize = (root) => {
    const local = document.getElementById("zone")?.value === "local";
    for (const time of root.querySelectorAll("time[datetime]")) {
      if (!time.dataset.utc) {
        time.dataset.utc = time.title || `${time.textContent} UTC`;
        time.dataset.text = time.textContent;
      }
      const here = new Date(time.dateTime).toLocaleString("sv");
      const texts = [time.dataset.utc, `${here} local time`];
      time.title = (local ? texts.reverse() : texts).join("\n");
      if (!time.classList.contains("ago")) time.textContent = local ? here : time.dataset.text;
    }
    for (const field of root.querySelectorAll("input[type=datetime-local]")) {
      const [shown, was] = [local ? "local" : "UTC", field.dataset.shown ?? "UTC"];
      if (field.value && shown !== was) field.value = local ? toLocal(field.value) : toUtc(field.value);
      field.dataset.shown = shown;
    }
    for (const name of document.querySelectorAll("[data-zone]")) name.textContent = local ? "local" : "UTC";
    document.dispatchEvent(new Event("localized"));
  };
  document.addEventListener("zone", () => localize(document));
  const resetFilters = () => {
    for (const form of document.querySelectorAll("form[data-filters]")) {
      form.reset();
      for (const field of form.querySelectorAll("[data-shown]")) delete field.dataset.shown;
    }
    localize(document);
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
    const places = [...document.querySelectorAll("[data-count]")];
    if (!places.length) return;
    const reply = await fetch(`/counts${location.search}`, { headers: { Accept: "application/json" } });
    if (!reply.ok) return;
    const { counts, whole } = await reply.json();
    const said = (count) => count.toLocaleString("en") + (whole ? "" : "+");
    const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
    for (const place of places) place.textContent = said(counts[place.dataset.count] ?? all);
    const chosen = places.filter((place) => place.closest("[aria-current]"));
    const total = chosen.reduce((sum, place) => sum + (counts[place.dataset.count] ?? all), 0);
    for (const place of document.querySelectorAll("[data-total]")) place.textContent = said(total);
  };

  const SCROLLED = ".drawing, .scroll";
  // What the server wrote, before anybody opened a part of it or a script added to it
  const written = new WeakMap();
  // The secret of a form is written differently each time, and stays the same; how long ago something was grows here
  const htmlOf = (part) =>
    part.innerHTML.replace(/(name="csrf" value=)"[0-9a-f]+"/g, "$1").replace(/(<time class="ago"[^>]*>)[^<]*/g, "$1");
  const remember = (root) => {
    for (const live of root.querySelectorAll("[data-live]")) {
      written.set(live, htmlOf(live));
      for (const child of live.children) written.set(child, htmlOf(child));
    }
  };

  const replace = (known, wanted) => {
    const html = htmlOf(wanted);
    if (written.get(known) === html) return;
    const open = [...known.querySelectorAll("details")].map((details) => details.open);
    wanted.querySelectorAll("details").forEach((details, index) => {
      details.open ||= open[index] ?? false;
    });
    for (const box of known.querySelectorAll("input[type=checkbox]:checked")) {
      for (const same of wanted.querySelectorAll("input[type=checkbox]")) same.checked ||= same.value === box.value;
    }
    const moved = [...known.querySelectorAll(SCROLLED)].map((part) => part.scrollLeft);
    known.replaceChildren(...wanted.childNodes);
    known.querySelectorAll(SCROLLED).forEach((part, index) => {
      part.scrollLeft = moved[index] ?? 0;
    });
    written.set(known, html);
  };

  // Most of what has the focus has no id: in the part around it, it is found again by what it leads to or says;
  // a link also by its place, since what leads to a time leads to a later one soon, but no button that does something
  const meaning = (part) =>
    part.getAttribute("href") ?? part.getAttribute("aria-label") ?? [part.name, part.value, part.textContent].join();
  const alike = (part, home) =>
    [...home.querySelectorAll(part.tagName)].filter((each) => meaning(each) === meaning(part));
  const placeOf = (part) => {
    const home = part?.closest("[id]:not(main)");
    if (!home) return null;
    const place = [...home.querySelectorAll("a")].indexOf(part);
    return { part, home: home.id, index: alike(part, home).indexOf(part), place };
  };
  const focusAgain = ({ part, home, index, place }) => {
    if (part.isConnected) return;
    const known = document.getElementById(home);
    const found = known && (alike(part, known)[index] ?? known.querySelectorAll("a")[place] ?? known);
    found?.focus({ preventScroll: true });
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
        written.set(wanted, htmlOf(wanted));
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

  // What somebody drags over stays as it is until they let go
  const untilLetGo = async () => {
    while (document.querySelector("rect.zoom")) await new Promise((resolve) => setTimeout(resolve, 100));
  };

  const update = (fresh) => {
    const focused = placeOf(document.activeElement);
    for (const live of document.querySelectorAll("[data-live]")) {
      const wanted = fresh.getElementById(live.id);
      if (!wanted) continue;
      if (live.dataset.live === "list" && live.children.length && wanted.children.length) {
        updateList(live, wanted);
      } else {
        replace(live, wanted);
      }
    }
    if (focused) focusAgain(focused);
    document.title = fresh.title;
    countSelected();
    localize(document);
    showCurrent();
  };

  const boxes = (name, more = "") => document.querySelectorAll(`input[name="${CSS.escape(name)}"]${more}`);
  const countSelected = () => {
    const number = boxes("job", ":checked").length;
    for (const place of document.querySelectorAll("[data-selected]")) place.textContent = number;
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
      await untilLetGo();
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
  window.addEventListener("pageshow", (event) => {
    // who comes back finds in the filters what the address says
    if (event.persisted) resetFilters();
    follow();
  });

  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    const { all } = event.target.dataset;
    if (all) for (const box of boxes(all)) box.checked = event.target.checked;
    countSelected();
    if (event.target.matches("form[data-filters] select, form[data-filters] input[type=checkbox]")) {
      event.target.form.requestSubmit();
    }
  });

  // The text itself, or what is at an address
  const copy = async (button) => {
    const { dataset } = button;
    try {
      const { copy: text, copyFrom } = dataset;
      await navigator.clipboard.writeText(text ?? (await (await fetch(copyFrom)).text()));
      dataset.said = "copied";
    } catch {
      dataset.said = "not copied";
    }
    const said = document.getElementById("said");
    said.textContent = dataset.said;
    setTimeout(() => {
      delete dataset.said;
      said.textContent = "";
    }, 1500);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (button) copy(button);
    const { clear } = event.target.closest("[data-clear]")?.dataset ?? {};
    if (clear) for (const box of document.querySelectorAll(`input[name="${CSS.escape(clear)}"], [data-all]`)) box.checked = false;
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
    if (event.formData.getAll("columns").join() === event.target.dataset.usual) event.formData.delete("columns");
  });

  remember(document);
  countSelected();
  localize(document);
  showCurrent();
  count();
  setInterval(grow, 30000);
  if (main) follow();
})();
