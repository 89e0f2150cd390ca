"use strict";
// Draws the report from the document's own data. Whatever comes from runs is set as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const ZOOM = ["zoom2d", "pan2d", "resetScale2d"];
  const FONT = { family: "system-ui, sans-serif", size: 13 };
  let order = data.rows.map((_, index) => index);
  let shown = order;

  function make(name, text, className) {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  // Plotly reads a few tags in its texts; entities are shown as what they stand for.
  function plain(text) {
    return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  function format(value) {
    if (value === null) return "";
    return typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value);
  }

  function isNumber(value) {
    return typeof value === "number";
  }

  // Numbers first, then texts; nothing and NaN last in both directions.
  function compare(left, right, sign) {
    const rank = (value) => (value === null || value === "NaN" ? 2 : isNumber(value) ? 0 : 1);
    if (rank(left) === 2 || rank(right) === 2) return rank(left) - rank(right);
    if (rank(left) !== rank(right)) return sign * (rank(left) - rank(right));
    if (isNumber(left)) return sign * (left - right);
    return sign * (left < right ? -1 : left > right ? 1 : 0);
  }

  // -- the table -------------------------------------------------------------------------------------------------

  const body = document.querySelector("#table tbody");
  const heads = [];
  const texts = [];

  function drawTable() {
    const row = make("tr");
    data.columns.forEach((column, index) => {
      const isNumeric = data.rows.some((one) => isNumber(one.values[index]));
      const head = make("th", undefined, isNumeric ? "number" : "");
      head.scope = "col";
      head.classList.toggle("chosen", index === data.chosen);
      const button = make("button", column);
      button.type = "button";
      button.addEventListener("click", () => sortBy(index));
      head.append(button);
      row.append(head);
      heads.push(head);
    });
    document.querySelector("#table thead").append(row);
    data.rows.forEach((one) => {
      const line = make("tr");
      one.values.forEach((value, index) => {
        const cell = make("td", format(value), isNumber(value) ? "number" : "");
        if (value !== null) cell.title = String(value);
        if (index === data.chosen) cell.classList.add("chosen");
        if (index === data.state) cell.classList.add(`state-${one.state}`);
        line.append(cell);
      });
      one.line = line;
      texts.push(one.values.map(format).join("\n").toLowerCase());
    });
    showRows();
  }

  function sortBy(index) {
    const isRising = heads[index].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[index].setAttribute("aria-sort", isRising ? "ascending" : "descending");
    order.sort((left, right) =>
      compare(data.rows[left].values[index], data.rows[right].values[index], isRising ? 1 : -1));
    showRows();
  }

  const OPERATORS = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
    "=": (a, b) => a === b, "!=": (a, b) => a !== b,
  };

  // A term is NAME<NUMBER and the like where NAME is a column, else a text that some cell holds.
  function makeTest(term) {
    const match = /^(.+?)(<=|>=|!=|<|>|=)(.+)$/.exec(term);
    const index = match ? data.columns.findIndex((column) => column.toLowerCase() === match[1].toLowerCase()) : -1;
    if (index < 0) return (row) => texts[row].includes(term.toLowerCase());
    const number = Number(match[3]);
    const test = OPERATORS[match[2]];
    return (row) => {
      const value = data.rows[row].values[index];
      if (isNumber(value) && !Number.isNaN(number)) return test(value, number);
      if (match[2] !== "=" && match[2] !== "!=") return false;
      return test(format(value).toLowerCase(), match[3].toLowerCase());
    };
  }

  function showRows() {
    const tests = byId("filter").value.split(/\s+/).filter(Boolean).map(makeTest);
    shown = order.filter((row) => tests.every((test) => test(row)));
    body.replaceChildren(...shown.map((row) => data.rows[row].line));
    const all = data.rows.length;
    byId("shown").textContent = shown.length === all ? `${all} runs` : `${shown.length} of ${all} runs`;
  }

  // -- the plots -------------------------------------------------------------------------------------------------

  // Only these buttons: plotly's own set has one that sends the plot to its makers.
  function makeConfig(buttons) {
    return { responsive: true, displaylogo: false, typesetMath: false, plotlyServerURL: "",
             modeBarButtons: [["toImage", ...buttons]] };
  }

  function drawPlot(id, title, note, traces, layout, buttons = []) {
    const section = byId(id);
    if (!traces.length) {
      section.remove();
      return;
    }
    section.querySelector("h2").textContent = title;
    section.querySelector(".note").textContent = note;
    Plotly.react(`${id}-plot`, traces, { font: FONT, paper_bgcolor: "#fff", ...layout }, makeConfig(buttons));
  }

  function pick(values, places) {
    return places.map((place) => values[place]);
  }

  function drawParallel() {
    const parallel = data.parallel;
    if (!parallel) return drawPlot("parallel", "", "", [], {});
    const visible = new Set(shown);
    const places = parallel.rows.map((_, place) => place).filter((place) => visible.has(parallel.rows[place]));
    const trace = {
      type: "parcoords",
      line: { color: pick(parallel.color, places), colorscale: "Viridis", reversescale: parallel.is_reversed,
              cmin: parallel.range[0], cmax: parallel.range[1] },
      dimensions: parallel.dimensions.map((one) => ({
        ...one, label: plain(one.label), ticktext: one.ticktext.map(plain), values: pick(one.values, places),
      })),
      labelangle: -12, labelside: "top",
    };
    const note = `${parallel.note} ${places.length} of ${parallel.rows.length} lines; the table's filter applies here too.`;
    return drawPlot("parallel", `Parameters against ${data.metric}`, note, [trace],
      { height: 460, margin: { t: 90, b: 40, l: 90, r: 90 } });
  }

  function drawCurves() {
    const traces = data.curves.map((curve) => ({
      type: "scatter", mode: curve.steps.length > 1 ? "lines" : "markers", connectgaps: false, name: plain(curve.name),
      x: curve.steps, y: curve.values, hovertemplate: "step %{x}: %{y}<extra>%{fullData.name}</extra>",
    }));
    drawPlot("curves", `${data.curve} of the best ${data.curves.length}`, data.curves_note, traces, {
      height: 460, margin: { t: 20, b: 50, l: 70, r: 20 }, xaxis: { title: { text: "step" } },
      yaxis: { title: { text: plain(data.curve) }, type: data.is_log ? "log" : "linear", exponentformat: "power" },
      showlegend: true,
    }, ZOOM);
  }

  function drawImportance() {
    const rows = [...data.importance].reverse();
    const trace = {
      type: "bar", orientation: "h", x: rows.map((one) => one.strength), y: rows.map((_, place) => place),
      marker: { color: rows.map((one) => (one.sign < 0 ? "#c0562b" : one.sign > 0 ? "#1f6f8b" : "#7c8794")) },
      text: rows.map((one) => plain(one.text)), textposition: "auto", hoverinfo: "none",
    };
    drawPlot("importance", `What goes with ${data.metric}`, data.importance_note, rows.length ? [trace] : [], {
      height: 90 + 30 * rows.length, margin: { t: 10, b: 40, l: 20, r: 20 }, xaxis: { range: [0, 1], title: { text: "strength" } },
      yaxis: { automargin: true, tickvals: rows.map((_, place) => place), ticktext: rows.map((one) => plain(one.name)) },
      showlegend: false,
    });
  }

  // -- the rest --------------------------------------------------------------------------------------------------

  function drawFailed() {
    if (!data.failed.length) {
      byId("failed").remove();
      return;
    }
    byId("failed").querySelector(".note").textContent = data.failed_note;
    byId("failed-runs").append(...data.failed.map((run) => {
      const details = make("details");
      details.open = data.failed.length <= 5;
      details.append(make("summary", run.title), make("pre", run.lines.join("\n") || "It left no output."));
      return details;
    }));
  }

  byId("title").textContent = data.title;
  byId("states").textContent = data.states;
  byId("filter-note").textContent = data.filter_note;
  byId("made").textContent = data.made;
  drawTable();
  drawParallel();
  drawCurves();
  drawImportance();
  drawFailed();
  let waiting;
  byId("filter").addEventListener("input", () => {
    showRows();
    clearTimeout(waiting);
    if (data.parallel) waiting = setTimeout(drawParallel, 200);
  });
  document.body.dataset.ready = "yes";
})();
