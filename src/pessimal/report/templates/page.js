"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const font = { family: getComputedStyle(document.body).fontFamily, size: 12, color: "#1f2328" };
  const grid = "#e7eaee";
  const config = { displaylogo: false, responsive: true, displayModeBar: false };
  const colours = ["#1f5fa8", "#d1741f", "#2c8a57", "#b5313a", "#7a55b0", "#8a5a44", "#c95fa5", "#6b7280", "#a39a1c", "#1f9bb3"];
  const symbols = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "pentagon", "star", "hexagon"];

  function drawChart(div) {
    const { points, strategies, floor } = data.chart;
    const indices = points.x.map((_, i) => i);
    const crowded = strategies.length > 12;
    const traces = [];
    [["y", "", true], ["z", "2", false]].forEach(([field, axis, legend]) => {
      strategies.forEach((name, s) => {
        const mine = indices.filter((i) => points.strategy[i] === s);
        const symbol = symbols[(s + Math.floor(s / colours.length)) % symbols.length];
        traces.push({
          type: "scatter", mode: "markers", name, legendgroup: "s" + s, showlegend: legend,
          xaxis: "x" + axis, yaxis: "y" + axis, mine,
          x: mine.map((i) => points.x[i]), y: mine.map((i) => points[field][i]),
          text: mine.map((i) => points.hover[i]), hovertemplate: "%{text}<extra></extra>",
          selected: { marker: { opacity: 0.95 } }, unselected: { marker: { opacity: 0.1 } },
          marker: {
            color: colours[s % colours.length], symbol: mine.map((i) => points.recorded[i] ? symbol + "-open" : symbol),
            size: 9, opacity: 0.8, line: { color: mine.map((i) => points.recorded[i] ? colours[s % colours.length] : "#fff"), width: mine.map((i) => points.recorded[i] ? 1.4 : 0.7) },
          },
        });
      });
      traces.push({
        type: "scatter", mode: "lines", x: [], y: [], field, xaxis: "x" + axis, yaxis: "y" + axis,
        line: { color: "#9aa2ab", width: 1.2, shape: "hv" }, hoverinfo: "skip", showlegend: false,
      });
    });

    const xMin = Math.min(...points.x), xMax = Math.max(...points.x);
    const pad = Math.max(0.5, 0.05 * (xMax - xMin));
    const step = Math.max(1, Math.ceil((xMax - xMin + 2 * pad) / 9));
    const xaxis = {
      title: { text: "proof length in flops (logarithmic)", standoff: 10 }, range: [xMin - pad, xMax + pad],
      tick0: 0, dtick: step, tickprefix: "2<sup>", ticksuffix: "</sup>", gridcolor: grid, zeroline: false,
      linecolor: "#9aa2ab", ticks: "outside", tickcolor: "#9aa2ab",
    };
    const yMin = Math.min(...points.y);
    const yPad = Math.max(0.05 * (100 - yMin), 0.0005);
    const top = Math.ceil(Math.log10(Math.max(...points.z)) + 0.02), bottom = Math.round(Math.log10(floor));
    const zero = points.z.some((z) => z === floor);
    const lowest = zero ? bottom : bottom + 1;
    const every = Math.max(1, Math.ceil((top - lowest) / 7));
    const tickvals = [], ticktext = [];
    for (let e = top; e > bottom; e -= every) {
      tickvals.push(Math.pow(10, e));
      ticktext.push(e === 0 ? "1" : "10<sup>" + String(e).replace("-", "\u2212") + "</sup>");
    }
    if (zero) { tickvals.push(floor); ticktext.push("0"); }
    const layout = {
      font, height: crowded ? 560 : 470, margin: { l: 64, r: 12, t: 34, b: 56 }, hovermode: "closest",
      paper_bgcolor: "#fff", plot_bgcolor: "#fff",
      hoverlabel: { bgcolor: "#fff", bordercolor: "#9aa2ab", font, align: "left" },
      legend: crowded
        ? { x: 1.02, y: 1, xanchor: "left", font: { size: 11 } }
        : { orientation: "h", x: 0, y: -0.2, xanchor: "left", yanchor: "top", itemwidth: 30, font: { size: 12.5 } },
      xaxis: { ...xaxis, domain: [0, 0.455] }, xaxis2: { ...xaxis, domain: [0.545, 1], anchor: "y2", matches: "x" },
      yaxis: { range: [yMin - yPad, 100 + yPad], ticksuffix: "\u2009%", gridcolor: grid, zeroline: false, automargin: true },
      yaxis2: {
        type: "log", range: [top + 0.15, lowest - 0.35], tickvals, ticktext, gridcolor: grid, zeroline: false,
        anchor: "x2", automargin: true,
      },
      annotations: [
        ["<b>Proven accuracy</b> (lower bound)", 0],
        ["<b>Fraction not proven</b> (logarithmic, up is better)", 0.545],
      ].map(([text, x]) => ({
        text, x, y: 1, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", yshift: 8, showarrow: false,
        font: { ...font, size: 13 },
      })),
    };
    Plotly.newPlot(div, traces, layout, config);

    const select = document.getElementById("chart-model");
    function highlight() {
      const model = Number(select.value);
      traces.forEach((trace, t) => {
        if (trace.mine) {
          const chosen = [...trace.mine.keys()].filter((n) => points.model[trace.mine[n]] === model);
          Plotly.restyle(div, { selectedpoints: [model < 0 ? null : chosen] }, [t]);
        } else {
          const line = indices.filter((i) => points.model[i] === model && points.frontier[i]);
          line.sort((a, b) => points.x[a] - points.x[b]);
          Plotly.restyle(div, { x: [line.map((i) => points.x[i])], y: [line.map((i) => points[trace.field][i])] }, [t]);
        }
      });
    }
    select.addEventListener("change", highlight);
    highlight();
  }

  const scale = [[0, "#1b4f8f"], [0.2, "#4f8cc4"], [0.4, "#c3dcee"], [0.5, "#f8f8f8"], [0.6, "#f6d2bf"], [0.8, "#d46a52"], [1, "#97202c"]];

  function drawMap(name, map, rows, columns, unit, height, bar) {
    const [rowStep, columnStep] = map.step;
    const labelled = (axis, side) => (side <= 8 ? { ...axis, dtick: 1, tick0: 0 } : axis);
    const axis = { zeroline: false, showgrid: false, ticks: "outside", ticklen: 3, tickcolor: "#9aa2ab" };
    const trace = {
      type: "heatmap", z: map.z, x0: (columnStep - 1) / 2, dx: columnStep, y0: (rowStep - 1) / 2, dy: rowStep,
      zmin: -map.limit, zmax: map.limit, colorscale: scale, colorbar: bar,
      hovertemplate: rows + " %{y}<br>" + columns + " %{x}<br>%{z} " + unit + "<extra></extra>",
    };
    const layout = {
      font, height, margin: { l: 48, r: 10, t: 8, b: 44 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
      xaxis: labelled({ ...axis, title: { text: columns, standoff: 6 } }, map.z[0].length),
      yaxis: labelled({ ...axis, title: { text: rows, standoff: 6 }, autorange: "reversed" }, map.z.length),
    };
    Plotly.react("map-" + name, [trace], layout, config);
  }

  function drawSpectrum(values, height) {
    const known = values.map((v, i) => [i + 1, v]).filter(([, v]) => v > 0);
    const trace = {
      type: "scatter", mode: "lines+markers", x: known.map(([i]) => i), y: known.map(([, v]) => v),
      line: { color: "#c3c9d0", width: 1 }, marker: { color: colours[0], size: 5 },
      hovertemplate: "\u03c3<sub>%{x}</sub> = %{y}<extra></extra>",
    };
    Plotly.react("spectrum", [trace], {
      font, height, margin: { l: 52, r: 10, t: 8, b: 44 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
      xaxis: { title: { text: "index", standoff: 6 }, gridcolor: grid, zeroline: false },
      yaxis: { type: "log", title: { text: "singular value", standoff: 6 }, gridcolor: grid, zeroline: false, dtick: 1, exponentformat: "power", tickfont: { size: 10 } },
    }, config);
  }

  function drawMaps() {
    const item = data.maps[Number(document.getElementById("map-model").value)];
    const bar = { thickness: 10, outlinewidth: 0, len: 1, y: 0.5 };
    const flat = { ...bar, orientation: "v" };
    drawMap("EQKE", item.maps.EQKE, "query token", "key token", "(score)", 430, bar);
    drawMap("EQKP", item.maps.EQKP, "query token", "key position", "(score)", 430, bar);
    drawMap("EVOU", item.maps.EVOU, "key token", "output token", "logits", 480, bar);
    drawMap("EU", item.maps.EU, "query token", "output token", "logits", 480, bar);
    const strip = Math.min(420, 76 + 22 * item.maps.PVOU.z.length);
    drawMap("PVOU", item.maps.PVOU, "position", "output token", "logits", strip, flat);
    drawSpectrum(item.singular_values, 430);
    const { k, d_vocab: v, d_model: d, d_head: h } = item.sizes;
    document.getElementById("map-about").textContent =
      "K = " + k + ", d_vocab = " + v + ", d_model = " + d + ", d_head = " + h +
      (item.head === null ? "" : ", head " + item.head) + (item.layer_norm ? "; this model has LayerNorms, which the maps leave out" : "");
    document.getElementById("ratio").textContent =
      item.ratio === null ? "" : "The first is " + item.ratio.toPrecision(3) + " times the second."; // no bound
    const blocks = Math.max(...Object.values(item.maps).flatMap((map) => map.step));
    document.getElementById("map-blocks").textContent =
      blocks > 1 ? " Long axes are averaged over blocks of up to " + blocks + " tokens." : "";
  }

  const chart = document.getElementById("chart");
  if (chart) drawChart(chart);
  if (data.maps.length) {
    document.getElementById("map-model").addEventListener("change", drawMaps);
    drawMaps();
  }
})();
