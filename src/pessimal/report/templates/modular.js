(function () {
  const items = JSON.parse(document.getElementById("data").textContent).modular;
  if (!items.length) return;
  const font = { family: getComputedStyle(document.body).fontFamily, size: 12, color: "#1f2328" };
  const grid = "#e7eaee", blue = "#1f5fa8", orange = "#d1741f";
  const config = { displaylogo: false, responsive: true, displayModeBar: false };
  const base = { font, paper_bgcolor: "#fff", plot_bgcolor: "#fff", showlegend: false, hovermode: "closest" };

  function cell(parent, title, traces, layout) {
    const div = document.createElement("div");
    parent.appendChild(div);
    const heading = { text: title, x: 0.5, y: 0.98, yanchor: "top", font: { ...font, size: 13 } };
    Plotly.newPlot(div, traces, { ...base, title: heading, ...layout }, config);
  }

  function drawCircle(parent, circle, p) {
    // One step of the frequency after another: token t stands at place k t mod p.
    const order = [...circle.x.keys()].sort((s, t) => ((circle.k * s) % p) - ((circle.k * t) % p));
    const closed = [...order, order[0]];
    const reach = 1.15 * Math.max(...circle.x.map(Math.abs), ...circle.y.map(Math.abs), 1e-12);
    const axis = { range: [-reach, reach], zeroline: true, zerolinecolor: grid, showgrid: false, nticks: 5, tickfont: { size: 10 } };
    cell(parent, "k = " + circle.k, [
      {
        type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: "#c3c9d0", width: 1 },
        x: closed.map((t) => circle.x[t]), y: closed.map((t) => circle.y[t]),
      },
      {
        type: "scatter", mode: "markers+text", x: circle.x, y: circle.y, marker: { color: blue, size: 5 },
        text: circle.x.map((_, t) => (t < 3 ? String(t) : "")), textposition: circle.x.map((x) => (x < 0 ? "middle left" : "middle right")), textfont: { size: 11, color: orange },
        customdata: circle.x.map((_, t) => t), hovertemplate: "token %{customdata}<br>%{x}, %{y}<extra></extra>",
      },
    ], { height: 270, margin: { l: 34, r: 10, t: 30, b: 28 }, xaxis: axis, yaxis: { ...axis, scaleanchor: "x" } });
  }

  function drawQuadrature(parent, one) {
    const x = [], y = [];
    one.heights.forEach((height, j) => {
      x.push(one.edges[j], one.edges[j], one.edges[j + 1], one.edges[j + 1]);
      y.push(0, height, height, 0);
    });
    const quarters = [], names = [];
    const words = ["0", "\u03c0/4", "\u03c0/2", "3\u03c0/4", "\u03c0", "5\u03c0/4"];
    for (let n = -4; n <= 8; n++) {
      quarters.push((n * Math.PI) / 4);
      names.push(n < 0 ? "\u2212" + words[-n] : words[n] || n + "\u03c0/4");
    }
    cell(parent, "k = " + one.k + ", " + one.nodes.length + " neurons", [
      { type: "scatter", mode: "lines", x, y, fill: "tozeroy", fillcolor: "rgba(31,95,168,0.25)", line: { color: "rgba(31,95,168,0.55)", width: 0.5 }, hoverinfo: "skip" },
      { type: "scatter", mode: "lines", x: one.curve_x, y: one.curve_y, line: { color: orange, width: 2.2 }, hoverinfo: "skip" },
      {
        type: "scatter", mode: "markers", x: one.nodes, y: one.heights, marker: { color: blue, size: 3 },
        hovertemplate: "phase %{x}<br>height %{y}<extra></extra>",
      },
    ], {
      height: 250, margin: { l: 40, r: 10, t: 30, b: 32 },
      xaxis: { tickvals: quarters, ticktext: names, gridcolor: grid, zeroline: false },
      yaxis: { gridcolor: grid, zeroline: true, zerolinecolor: "#9aa2ab", nticks: 6 },
    });
  }

  function drawSpectrum(item) {
    const frequency = item.output_spectrum.map((_, k) => k + 1);
    const bars = [["W<sub>E</sub>", item.embedding_spectrum, blue], ["W<sub>out</sub>W<sub>U</sub>", item.output_spectrum, orange]];
    Plotly.react("modular-spectrum", bars.map(([name, y, color]) => ({
      type: "bar", name, x: frequency, y, marker: { color }, hovertemplate: "k = %{x}: %{y}<extra></extra>",
    })), {
      ...base, showlegend: true, height: 330, margin: { l: 52, r: 10, t: 30, b: 44 }, bargap: 0.15,
      legend: { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom" },
      xaxis: { title: { text: "frequency k", standoff: 6 }, gridcolor: grid },
      yaxis: { title: { text: "share of energy", standoff: 6 }, gridcolor: grid, zeroline: false },
    }, config);
  }

  function drawLogits(item) {
    const p = item.p, half = (p - 1) / 2;
    const place = Array.from({ length: p }, (_, j) => j - half);
    const pick = (name) => place.map((e) => item.logits[name][(e + p) % p]);
    const line = (name, y, more) => ({ type: "scatter", mode: "lines", name, x: place, y, ...more });
    Plotly.react("modular-logits", [
      line("range", pick("low"), { line: { width: 0 }, hoverinfo: "skip", showlegend: false }),
      line("range over inputs", pick("high"), { line: { width: 0 }, fill: "tonexty", fillcolor: "rgba(31,95,168,0.15)", hoverinfo: "skip" }),
      line("mean", pick("mean"), { line: { color: blue, width: 1.8 }, hovertemplate: "%{x}: mean %{y}<extra></extra>" }),
      line("sum of cosines", pick("fitted"), { line: { color: orange, width: 1.8, dash: "dot" }, hovertemplate: "%{x}: fitted %{y}<extra></extra>" }),
    ], {
      ...base, showlegend: true, height: 330, margin: { l: 52, r: 10, t: 30, b: 44 }, legend: { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom" },
      xaxis: { title: { text: "c \u2212 (a + b) modulo p", standoff: 6 }, gridcolor: grid, zeroline: false },
      yaxis: { title: { text: "logit", standoff: 6 }, gridcolor: grid, zeroline: true, zerolinecolor: "#9aa2ab" },
    }, config);
  }

  function draw() {
    const number = Number(document.getElementById("modular-model").value), item = items[number];
    document.querySelectorAll(".modular-numbers").forEach((div, n) => { div.hidden = n !== number; });
    const circles = document.getElementById("modular-circles"), quadratures = document.getElementById("modular-quadratures");
    for (const parent of [circles, quadratures]) {
      parent.querySelectorAll(".js-plotly-plot").forEach((div) => Plotly.purge(div));
      parent.replaceChildren();
    }
    item.circles.forEach((circle) => drawCircle(circles, circle, item.p));
    document.getElementById("modular-phases").hidden = !item.quadratures.length;
    item.quadratures.forEach((one) => drawQuadrature(quadratures, one));
    drawSpectrum(item);
    drawLogits(item);
  }

  document.getElementById("modular-model").addEventListener("change", draw);
  draw();
})();
