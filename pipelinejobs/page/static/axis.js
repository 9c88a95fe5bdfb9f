// The marks of an axis of time stand at round times of the zone that is chosen; the server has made those of UTC.
"use strict";

(() => {
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const DAY = 86400;
  const written = new WeakMap();

  const two = (number) => String(number).padStart(2, "0");
  const day = (date) => `${two(date.getDate())} ${MONTHS[date.getMonth()]}`;
  const time = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;
  const isMidnight = (date) => !date.getHours() && !date.getMinutes() && !date.getSeconds();
  const textOf = (date, step) => {
    if (isMidnight(date)) return day(date);
    if (step >= DAY) return `${day(date)} ${time(date)}`;
    return step >= 60 ? time(date) : `${time(date)}:${two(date.getSeconds())}`;
  };

  const move = (ticks, isLocal) => {
    if (!written.has(ticks)) written.set(ticks, [...ticks.children]);
    const made = written.get(ticks);
    if (!isLocal || !made.length) {
      ticks.replaceChildren(...made);
      return;
    }
    const { axisFrom, axisTo } = ticks.closest("[data-axis-from]").dataset;
    const [begin, end] = [Date.parse(axisFrom) / 1000, Date.parse(axisTo) / 1000];
    const plot = ticks.ownerSVGElement.querySelector(".plot > .background");
    const [left, width] = [plot.x.baseVal.value, plot.width.baseVal.value];
    const step = Number(ticks.dataset.step);
    const shift = -60 * new Date(begin * 1000).getTimezoneOffset();
    const marks = [];
    for (let at = Math.ceil((begin + shift) / step) * step - shift; at <= end; at += step) {
      const mark = made[0].cloneNode(true);
      mark.setAttribute("transform", `translate(${left + (width * (at - begin)) / (end - begin)} 0)`);
      const text = mark.querySelector("text");
      // the times stand above the first part of a drawing alone
      if (text) text.textContent = textOf(new Date(at * 1000), step);
      marks.push(mark);
    }
    ticks.replaceChildren(...marks);
  };

  // What names a moment under a chart, unless the chart is one of days: those of the statistics are days of UTC
  const rename = (label, isLocal) => {
    label.dataset.utc ??= label.textContent;
    const { utc, at } = label.dataset;
    const step = Number(label.dataset.step);
    label.textContent = isLocal && step < DAY ? textOf(new Date(at), step) : utc;
  };

  const align = () => {
    const isLocal = document.getElementById("zone")?.value === "local";
    for (const ticks of document.querySelectorAll(".ticks[data-step]")) move(ticks, isLocal);
    for (const label of document.querySelectorAll("svg text[data-at]")) rename(label, isLocal);
  };

  document.addEventListener("localized", align);
  align();
})();
