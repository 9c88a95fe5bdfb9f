// A time that is dragged over on a chart fills From and To of the form, which work without it.
"use strict";

(() => {
  const SHORTEST = 8;
  let drag = null;

  const plotOf = (event) => {
    const holder = event.target.closest?.("[data-axis-from]");
    // a drawing may have several, one below the other
    const plot = (event.target.closest?.("svg") ?? holder)?.querySelector(".plot > .background");
    const form = document.querySelector("form[data-filters]");
    return holder && plot && form ? { holder, plot, form } : null;
  };

  const within = (box, x) => Math.min(Math.max(x, box.left), box.right);

  // Positions in the window become those of the drawing, whatever has scaled or moved it
  const mark = ({ band, from, to, box }) => {
    const matrix = band.ownerSVGElement.getScreenCTM().inverse();
    const [left, right] = [Math.min(from, to), Math.max(from, to)];
    const start = new DOMPoint(left, box.top).matrixTransform(matrix);
    const end = new DOMPoint(right, box.bottom).matrixTransform(matrix);
    band.setAttribute("x", start.x);
    band.setAttribute("y", start.y);
    band.setAttribute("width", end.x - start.x);
    band.setAttribute("height", end.y - start.y);
  };

  const stop = () => {
    drag?.band.remove();
    drag = null;
  };

  document.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType !== "mouse") return;
    const found = plotOf(event);
    const box = found?.plot.getBoundingClientRect();
    if (!box || event.clientX < box.left || event.clientX > box.right) return;
    const band = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    band.setAttribute("class", "zoom");
    found.plot.ownerSVGElement.append(band);
    drag = { ...found, box, band, from: event.clientX, to: event.clientX };
  });

  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    // the button was released where the window did not see it
    if (!event.buttons) return stop();
    drag.to = within(drag.box, event.clientX);
    mark(drag);
  });

  document.addEventListener("pointerup", () => {
    if (!drag) return;
    const { holder, form, box, from, to } = drag;
    stop();
    if (Math.abs(to - from) < SHORTEST) return;
    // where it ends may be a link
    const ignore = (event) => event.preventDefault();
    document.addEventListener("click", ignore, { capture: true, once: true });
    setTimeout(() => document.removeEventListener("click", ignore, { capture: true }));
    const [begin, end] = [holder.dataset.axisFrom, holder.dataset.axisTo].map((date) => Date.parse(date));
    const moment = (x) => new Date(begin + ((end - begin) * (x - box.left)) / box.width);
    const [first, last] = [moment(Math.min(from, to)), moment(Math.max(from, to))];
    // a whole minute at least, which is what the fields hold
    const minutes = Math.max(1, Math.ceil((last - first) / 60000));
    const fill = (field, date) => {
      field.value = date.toISOString().slice(0, 16);
      field.dataset.shown = "UTC";
    };
    fill(form.elements.from, first);
    fill(form.elements.to, new Date(first.getTime() + minutes * 60000));
    form.requestSubmit();
  });

  document.addEventListener("pointercancel", stop);
  document.addEventListener("keydown", (event) => event.key === "Escape" && stop());
  document.addEventListener("dragstart", (event) => plotOf(event) && event.preventDefault());
})();
