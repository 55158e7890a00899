"use strict";
// Draws the charts that the page carries as data, and the session picked from the list. Loads nothing.
(() => {
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: innerWidth > 700 ? "hover" : false, // it would cover the legend
    // Named one by one: the library's own choice has a button that sends the chart to a web site.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };

  for (const [id, chart] of Object.entries(page.charts)) {
    Plotly.newPlot(id, chart.data, chart.layout, config);
  }

  const list = document.getElementById("session-list");
  if (!list) return;
  const colors = page.colors;
  const place = document.getElementById("session-chart");
  const [earlier, later] = [document.getElementById("earlier"), document.getElementById("later")];
  const dollars = (x) =>
    (x < 0 ? "-$" : x > 0 ? "+$" : "$") +
    Math.abs(x).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

  /** Bars in points and times as "2025-02-17 09:31", from the differences that the page carries. */
  function unpack(s) {
    const bars = { x: [], open: [], high: [], low: [], close: [] };
    const gaps = new Map(s.gaps);
    let [minute, close] = [Date.parse(s.start + "Z") / 60000, s.base];
    s.c.forEach((change, i) => {
      if (i > 0) minute += gaps.has(i) ? gaps.get(i) : s.step;
      const open = close + s.o[i];
      close += change;
      bars.x.push(new Date(minute * 60000).toISOString().slice(0, 16).replace("T", " "));
      bars.open.push(open * s.tick);
      bars.close.push(close * s.tick);
      bars.high.push((Math.max(open, close) + s.h[i]) * s.tick);
      bars.low.push((Math.min(open, close) - s.l[i]) * s.tick);
    });
    return bars;
  }

  /** A staircase through the bars in which a level was in force, broken between positions. */
  function levelLine(s, bars, which, name, color) {
    const [x, y] = [[], []];
    const entries = new Set(s.trades.map((t) => t[0]));
    let end = -1;
    for (const run of s.levels) {
      const [first, rows] = run;
      const price = run[which] * s.tick;
      if (first !== end || entries.has(first)) {
        x.push(null);
        y.push(null);
      }
      x.push(bars.x[Math.max(first - 1, 0)], bars.x[first + rows - 1]);
      y.push(price, price);
      end = first + rows;
    }
    return {
      type: "scatter", mode: "lines", name, x, y,
      line: { color, width: 1.2 }, hovertemplate: `${name} %{y:,.${s.digits}f}<extra></extra>`,
    };
  }

  function markers(s, bars, trades, at, price, name, symbol, color) {
    const text = trades.map(([, , side, contracts, entry, exit, reason, net]) => {
      const [from, to] = [entry, exit].map((x) => (x * s.tick).toFixed(s.digits));
      return `${side > 0 ? "long" : "short"} ${contracts} from ${from}<br>${reason} at ${to}<br>net ${dollars(net)}`;
    });
    return {
      type: "scatter", mode: "markers", name, text, hovertemplate: "%{text}<extra></extra>",
      x: trades.map((t) => bars.x[t[at]]), y: trades.map((t) => t[price] * s.tick),
      marker: { symbol, color, size: 11, line: { color: "white", width: 1 } },
    };
  }

  function draw(s) {
    const bars = unpack(s);
    const sided = (side) => s.trades.filter((t) => t[2] === side);
    const ended = (won) => s.trades.filter((t) => t[7] > 0 === won);
    const candles = {
      type: "candlestick", name: "bars", showlegend: false, ...bars,
      increasing: { line: { color: colors.rising, width: 1 }, fillcolor: colors.rising },
      decreasing: { line: { color: colors.falling, width: 1 }, fillcolor: colors.falling },
    };
    const traces = [
      candles,
      levelLine(s, bars, 2, "stop", colors.stop),
      levelLine(s, bars, 3, "target", colors.target),
      markers(s, bars, ended(true), 1, 5, "exit with a profit", "circle", colors.target),
      markers(s, bars, ended(false), 1, 5, "exit with a loss", "x", colors.stop),
      markers(s, bars, sided(1), 0, 4, "buy", "triangle-up", colors.entry),
      markers(s, bars, sided(-1), 0, 4, "sell short", "triangle-down", colors.short),
    ];
    const layout = structuredClone(page.sessionLayout);
    layout.yaxis.tickformat = `,.${s.digits}f`;
    Plotly.react(place, traces, layout, config);
    place.dataset.shown = s.date;
    table(s, bars);
  }

  function table(s, bars) {
    const body = document.querySelector("#trades tbody");
    body.replaceChildren();
    for (const [, exitRow, side, contracts, entry, exit, reason, net, clock] of s.trades) {
      const price = (x) =>
        (x * s.tick).toLocaleString("en-US", { minimumFractionDigits: s.digits, maximumFractionDigits: s.digits });
      const cells = [
        clock, bars.x[exitRow].slice(11), side > 0 ? "long" : "short",
        contracts, price(entry), price(exit), reason, dollars(net),
      ];
      const row = body.insertRow();
      cells.forEach((cell, i) => {
        const td = row.insertCell();
        td.textContent = cell;
        if (i >= 3 && i !== 6) td.className = "number";
      });
      row.lastChild.classList.add(net > 0 ? "gain" : "loss");
    }
  }

  function show(i) {
    list.selectedIndex = i;
    earlier.disabled = i <= 0;
    later.disabled = i >= list.options.length - 1;
    draw(page.sessions[i]);
  }

  function fromAddress() {
    const i = page.sessions.findIndex((s) => `#${s.date}` === location.hash);
    return i < 0 ? Number(list.dataset.first) : i;
  }

  list.addEventListener("change", () => show(list.selectedIndex));
  earlier.addEventListener("click", () => show(list.selectedIndex - 1));
  later.addEventListener("click", () => show(list.selectedIndex + 1));
  addEventListener("hashchange", () => show(fromAddress()));
  show(fromAddress());
})();
