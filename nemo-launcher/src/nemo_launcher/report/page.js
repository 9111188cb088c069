"use strict";
(() => {
  const root = document.documentElement;
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, className, text) {
    const made = document.createElement(name);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function setUpTheme() {
    const button = document.getElementById("theme");
    const dark = () =>
      (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("nemo-report-theme", root.dataset.theme); } catch { /* storage may be off */ }
    });
    try {
      const kept = localStorage.getItem("nemo-report-theme");
      if (kept === "light" || kept === "dark") root.dataset.theme = kept;
    } catch { /* storage may be off */ }
  }

  function nearest(points, x) {
    let low = 0, high = points.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < x) low = middle; else high = middle;
    }
    return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? points[low] : points[high];
  }

  function setUpChart(plot) {
    const data = JSON.parse(plot.dataset.readout);
    const longest = data.lines.reduce((a, b) => (b.points.length > a.points.length ? b : a)).points;
    const rule = document.createElementNS(SVG, "line");
    const box = element("div", "readout");
    let place = longest.length - 1;
    rule.setAttribute("class", "rule");
    rule.setAttribute("y1", "0");
    rule.setAttribute("y2", "100%");
    plot.append(rule);
    plot.parentNode.append(box);

    function show(x) {
      const anchor = nearest(longest, x);
      place = longest.indexOf(anchor);
      rule.setAttribute("x1", anchor[0] * 100 + "%");
      rule.setAttribute("x2", anchor[0] * 100 + "%");
      box.replaceChildren(element("div", "readout-x", data.x + " " + anchor[2]));
      for (const line of data.lines) {
        const row = element("div", "readout-row");
        const point = nearest(line.points, anchor[0]);
        const elsewhere = point[2] === anchor[2] ? "" : " at " + point[2];
        row.append(element("i", "swatch c" + line.colour), element("span", "", line.label),
          element("b", "", point[3] + elsewhere));
        box.append(row);
      }
      box.classList.toggle("left", anchor[0] > 0.5);
      box.style.setProperty("--x", anchor[0]);
      plot.parentNode.classList.add("reading");
    }
    const hide = () => plot.parentNode.classList.remove("reading");

    plot.addEventListener("pointermove", (event) => {
      const frame = plot.getBoundingClientRect();
      show((event.clientX - frame.left) / frame.width);
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("focus", () => { if (plot.matches(":focus-visible")) show(longest[place][0]); });
    plot.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (move === undefined) return;
      event.preventDefault();
      show(longest[Math.max(0, Math.min(longest.length - 1, place + move))][0]);
    });
  }

  function setUpPipeline(pipeline) {
    const arcs = [...pipeline.querySelectorAll(".arcs path")];
    for (const row of pipeline.querySelectorAll(".stage")) {
      const name = row.dataset.stage;
      const mark = (on) => arcs.forEach((arc) =>
        arc.classList.toggle("lit", on && (arc.dataset.from === name || arc.dataset.to === name)));
      row.addEventListener("pointerenter", () => mark(true));
      row.addEventListener("pointerleave", () => mark(false));
    }
  }

  function setUpCopying(entry) {
    const code = entry.querySelector("code");
    const button = element("button", "copy", "copy");
    button.type = "button";
    button.setAttribute("aria-label", "Copy: " + code.textContent);
    button.addEventListener("click", () => {
      getSelection().selectAllChildren(code);
      const done = () => { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy"; }, 1500); };
      if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, () => {});
      else if (document.execCommand("copy")) done();
    });
    entry.append(button);
  }

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details.reason:not([open]), #answers details:not([open])")];
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));

  setUpTheme();
  document.querySelectorAll("svg.plot").forEach(setUpChart);
  document.querySelectorAll(".pipeline").forEach(setUpPipeline);
  document.querySelectorAll(".command").forEach(setUpCopying);
})();
