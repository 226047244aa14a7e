"use strict";
// Moves the focus between the bars of a timeline, and shows the text of the one that has it.
for (const chart of document.querySelectorAll(".chart")) {
  const bars = Array.from(chart.querySelectorAll(".bar"));
  const output = chart.querySelector("output");
  const start = (bar) => parseFloat(bar.getAttribute("x"));
  const end = (bar) => start(bar) + parseFloat(bar.getAttribute("width"));
  const show = (bar) => { output.textContent = bar.getAttribute("aria-label"); };
  const go = (bar) => {
    for (const other of bars) { other.setAttribute("tabindex", "-1"); }
    bar.setAttribute("tabindex", "0");
    bar.focus();
  };
  // The bar of the next lane up or down that is nearest in time.
  const beside = (bar, way) => {
    const lanes = Math.max(...bars.map((other) => Number(other.dataset.lane)));
    let lane = Number(bar.dataset.lane) + way;
    const middle = (start(bar) + end(bar)) / 2;
    const away = (other) => Math.max(start(other) - middle, middle - end(other), 0);
    while (lanes >= lane && lane >= 0) {
      const those = bars.filter((other) => Number(other.dataset.lane) === lane);
      if (those.length) { return those.reduce((a, b) => (away(a) > away(b) ? b : a)); }
      lane += way;
    }
    return bar;
  };
  bars.forEach((bar, at) => {
    bar.addEventListener("focus", () => show(bar));
    bar.addEventListener("pointerenter", () => show(bar));
    bar.addEventListener("click", () => go(bar));
    bar.addEventListener("keydown", (event) => {
      const to = {
        ArrowRight: () => bars[Math.min(at + 1, bars.length - 1)],
        ArrowLeft: () => bars[Math.max(at - 1, 0)],
        ArrowDown: () => beside(bar, 1),
        ArrowUp: () => beside(bar, -1),
        Home: () => bars[0],
        End: () => bars[bars.length - 1],
      }[event.key];
      if (to) { event.preventDefault(); go(to()); }
    });
  });
  // A program in the legend leaves only its own bars bright.
  const legend = chart.previousElementSibling;
  for (const button of legend.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") === "false";
      for (const other of legend.querySelectorAll("button")) { other.setAttribute("aria-pressed", "false"); }
      button.setAttribute("aria-pressed", String(on));
      for (const bar of bars) {
        bar.classList.toggle("dimmed", on ? !bar.classList.contains("c" + button.dataset.color) : false);
      }
    });
  }
}
