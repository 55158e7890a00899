"use strict";
// Draws the charts that the page carries as data, and the session that is picked. Loads nothing.
(() => {
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: innerWidth > 700 ? "hover" : false, // it would cover the legend
    // Named one by one: the library's own choice has a button that sends the chart to a web site.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };

  // -- charts in the reader's colours, drawn when they come into view --

  const darkness = matchMedia("(prefers-color-scheme: dark)");
  let paper = false; // printing: light, and everything is drawn

  function colored(value) {
    if (!darkness.matches || paper) return value;
    if (typeof value === "string") return page.dark[value] ?? value;
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(colored);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, x]) => [name, colored(x)]));
  }

  const drawn = new Map(); // element -> its chart in light colours
  function plot(element, chart) {
    drawn.set(element, chart);
    const { data, layout } = colored(chart);
    // The library keeps what a reader zoomed to inside the layout: it gets one of its own.
    return Plotly.react(element, data, structuredClone(layout), config);
  }

  const waiting = new Map(); // element -> the function that makes it
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) if (entry.isIntersecting) make(entry.target);
    },
    { rootMargin: "400px" },
  );

  function make(element) {
    const draw = waiting.get(element);
    waiting.delete(element);
    seen.unobserve(element);
    if (draw) draw();
  }

  function whenSeen(element, draw) {
    waiting.set(element, draw);
    seen.observe(element);
  }

  const redraw = () => drawn.forEach((chart, element) => plot(element, chart));
  darkness.addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    paper = true;
    [...waiting.keys()].forEach(make);
    redraw();
  });
  addEventListener("afterprint", () => {
    paper = false;
    redraw();
  });

  for (const [id, chart] of Object.entries(page.charts)) {
    const element = document.getElementById(id);
    whenSeen(element, () => plot(element, chart));
  }

  // -- contents: the section in view --

  const nav = document.getElementById("contents");
  const sections = [...document.querySelectorAll("section")];
  const links = new Map([...nav.children].map((link) => [link.hash.slice(1), link]));
  let current;

  function follow() {
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const passed = sections.filter((section) => section.getBoundingClientRect().top < innerHeight / 4);
    const link = links.get((atEnd ? sections : passed).at(-1)?.id);
    if (link === current) return;
    if (current) current.ariaCurrent = null;
    current = link;
    if (!link) return;
    link.ariaCurrent = "true";
    nav.scrollTo({ left: link.offsetLeft - 40, top: link.offsetTop - 120 });
  }

  addEventListener("scroll", follow, { passive: true });
  follow();

  // -- candles --

  /** What Python packed: JSON, deflated, as base64. */
  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  }

  const dollars = (x) =>
    (x < 0 ? "-$" : x > 0 ? "+$" : "$") +
    Math.abs(x).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

  /** Bars in points and times as "2025-02-17 09:31", from the differences that the page carries. */
  function unfold(s) {
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
      marker: { symbol, color, size: 11, line: { color: page.colors.paper, width: 1 } },
    };
  }

  /** The chart of a session; trade `marked`, if there is one, in front of a band. */
  function candles(s, marked) {
    const [bars, colors] = [unfold(s), page.colors];
    const sided = (side) => s.trades.filter((t) => t[2] === side);
    const ended = (won) => s.trades.filter((t) => t[7] > 0 === won);
    const sticks = {
      type: "candlestick", name: "bars", showlegend: false, ...bars,
      increasing: { line: { color: colors.rising, width: 1 }, fillcolor: colors.rising },
      decreasing: { line: { color: colors.falling, width: 1 }, fillcolor: colors.falling },
    };
    const data = [
      sticks,
      levelLine(s, bars, 2, "stop", colors.stop),
      levelLine(s, bars, 3, "target", colors.target),
      markers(s, bars, ended(true), 1, 5, "exit with a profit", "circle", colors.target),
      markers(s, bars, ended(false), 1, 5, "exit with a loss", "x", colors.stop),
      markers(s, bars, sided(1), 0, 4, "buy", "triangle-up", colors.entry),
      markers(s, bars, sided(-1), 0, 4, "sell short", "triangle-down", colors.short),
    ];
    const layout = structuredClone(page.sessionLayout);
    layout.yaxis.tickformat = `,.${s.digits}f`;
    const trade = s.trades[marked];
    if (trade) {
      const [x0, x1] = [bars.x[Math.max(trade[0] - 1, 0)], bars.x[trade[1]]];
      const band = { type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, x0, x1, line: { width: 0 } };
      layout.shapes = [{ ...band, fillcolor: "rgba(201,154,44,0.22)" }];
    }
    return { data, layout };
  }

  const list = document.getElementById("session-list");
  const place = document.getElementById("session-chart");
  const [earlier, later] = [document.getElementById("earlier"), document.getElementById("later")];
  const unpacked = new Map(); // number of a session -> all of it
  let wanted = 0; // a session that was asked for later wins

  async function load(i) {
    const session = page.sessions[i];
    unpacked.set(i, { ...session, ...(await unpack(session.packed)) });
  }

  async function draw(i, marked) {
    const turn = ++wanted;
    if (!unpacked.has(i)) await load(i);
    if (turn !== wanted) return;
    const s = unpacked.get(i);
    await plot(place, candles(s, marked));
    Object.assign(place.dataset, { shown: s.date, trades: s.trades.length, marked: s.trades[marked] ? marked + 1 : "" });
  }

  /** Show session i, with its trade `marked` in front of a band. */
  function show(i, marked = -1) {
    list.selectedIndex = i;
    earlier.disabled = i <= 0;
    later.disabled = i >= list.options.length - 1;
    if (!waiting.has(place)) draw(i, marked);
    else {
      waiting.set(place, () => draw(i, marked));
      load(i); // a page that is printed now waits for nothing
    }
  }

  /** "#2025-02-17" is a session, "#2025-02-17/3" its third trade; other addresses are sections. */
  function fromAddress() {
    const [id, trade] = location.hash.slice(1).split("/");
    const i = page.sessions.findIndex((s) => s.id === id);
    if (i < 0) return false;
    show(i, trade ? Number(trade) - 1 : -1);
    document.getElementById("session-by-session").scrollIntoView();
    return true;
  }

  if (list) {
    const first = Number(list.dataset.first);
    whenSeen(place, () => draw(first, -1));
    show(first);
    list.addEventListener("change", () => show(list.selectedIndex));
    earlier.addEventListener("click", () => show(list.selectedIndex - 1));
    later.addEventListener("click", () => show(list.selectedIndex + 1));
    addEventListener("hashchange", fromAddress);
    fromAddress();
  }
  window.report = { page, unpack, unpacked, dollars };
})();
