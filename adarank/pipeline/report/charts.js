"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const drawings = read("drawings");
  const exchange = read("exchange");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paper = matchMedia("print");
  const NARROW = 720;
  const PAPER_WIDTH = 670; // A4 between the margins of the style sheet
  const PAPER_HEIGHT = 780; // the same, less a heading and a caption
  const first = (name) => document.getElementById(`${name}-choice`)?.selectedIndex ?? 0;
  const chosen = Object.fromEntries(Object.keys(drawings).map((name) => [name, first(name)]));
  let printing = false;

  const recoloured = (value) => {
    if (typeof value === "string") return exchange[value] ?? value;
    if (Array.isArray(value)) return value.map(recoloured);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, recoloured(one)]));
  };

  const merged = (base, added) => {
    const result = { ...base };
    for (const [key, value] of Object.entries(added)) {
      const both = [base[key], value].every((v) => v && typeof v === "object" && !Array.isArray(v));
      result[key] = both ? merged(base[key], value) : value;
    }
    return result;
  };

  const draw = (name) => {
    const place = document.getElementById(name);
    if (place.closest("[hidden]") && !printing) return Promise.resolve();
    const width = printing ? PAPER_WIDTH : place.clientWidth;
    const { data, layout, narrow } = structuredClone(drawings[name][chosen[name]]);
    const fitting = width < NARROW && !printing ? merged(layout, narrow) : layout;
    // A figure of about a page goes on one page; a longer one must stay readable.
    const onPaper = Math.min(fitting.height, Math.max(PAPER_HEIGHT, 0.7 * fitting.height));
    const height = printing ? onPaper : fitting.height;
    const figure = { data, layout: { ...fitting, width, height } };
    const { data: d, layout: l } = dark.matches && !printing ? recoloured(figure) : figure;
    return Plotly.react(place, d, l, { displayModeBar: false, doubleClick: false });
  };

  const drawAll = () => Promise.all(Object.keys(drawings).map(draw));

  const choose = (name, index, label) => {
    chosen[name] = index;
    const views = document.querySelectorAll(`details.view[data-chart="${name}"]`);
    views.forEach((view, i) => { view.hidden = i !== index; });
    document.getElementById(name).setAttribute("aria-label", views[index].dataset.alt);
    document.getElementById(`${name}-shown`).textContent = label;
    return draw(name);
  };

  for (const select of document.querySelectorAll("select[data-chart]")) {
    select.addEventListener("change", () => {
      choose(select.dataset.chart, select.selectedIndex, select.selectedOptions[0].text);
    });
  }

  const print = (now) => {
    if (now === printing) return;
    printing = now;
    for (const one of document.querySelectorAll("details.origin")) {
      if (now) one.dataset.open = one.open ? "yes" : "";
      one.open = now || one.dataset.open === "yes";
    }
    drawAll();
  };
  dark.addEventListener("change", drawAll);
  paper.addEventListener("change", (event) => print(event.matches));
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));

  let width = document.documentElement.clientWidth;
  new ResizeObserver(() => {
    const now = document.documentElement.clientWidth;
    if (now === width || printing) return;
    width = now;
    drawAll();
  }).observe(document.documentElement);

  addEventListener("taskshown", drawAll);
  printing = paper.matches;
  drawAll().then(() => { document.documentElement.dataset.ready = "true"; });
})();
