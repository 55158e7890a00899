"use strict";
// The list of all trades: sorted, filtered, a page at a time, saved as CSV.
(async () => {
  const { page, unpack, dollars } = window.report;
  if (!page.trades) return;
  const columns = await unpack(page.trades);
  const sessions = page.sessions;
  const several = new Set(sessions.map((s) => s.symbol)).size > 1;
  const rows = 50; // shown at a time

  const clock = (minute) => new Date(minute * 60000).toISOString().slice(11, 16);
  const session = (i) => sessions[columns.session[i]];
  const points = (name) => (i) => (columns[name][i] * session(i).tick).toFixed(session(i).digits);
  const grouped = (name) => (i) => {
    const { tick, digits } = session(i);
    const places = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    return (columns[name][i] * tick).toLocaleString("en-US", places);
  };
  const ratio = (name) => (i) => (columns[name][i] / 100).toFixed(2);
  const plain = (name) => (i) => columns[name][i];
  const side = (i) => (columns.side[i] > 0 ? "long" : "short");
  const reason = (i) => columns.reasons[columns.reason[i]];
  const market = (i) => session(i).symbol;
  const date = (i) => session(i).date;

  // Name of the column, of the file's column, text on the page, text in the file, what it is sorted by.
  const table = [
    ["date", "date", date, date, (i) => i],
    ["market", "market", market, market, market],
    ["entry", "entry_time", (i) => clock(columns.entry[i]), null, plain("entry")],
    ["exit", "exit_time", (i) => clock(columns.exit[i]), null, plain("exit")],
    ["side", "side", side, side, plain("side")],
    ["contracts", "contracts", plain("contracts"), null, plain("contracts")],
    ["from", "entry_price", grouped("from"), points("from"), (i) => columns.from[i] * session(i).tick],
    ["to", "exit_price", grouped("to"), points("to"), (i) => columns.to[i] * session(i).tick],
    ["bars", "bars_held", plain("bars"), null, plain("bars")],
    ["exit by", "exit_reason", reason, reason, reason],
    ["net", "net_usd", (i) => dollars(columns.net[i] / 100), (i) => (columns.net[i] / 100).toFixed(2), plain("net")],
    ["R", "r", ratio("r"), null, plain("r")],
    ["worst R", "worst_r", ratio("worst"), null, plain("worst")],
    ["best R", "best_r", ratio("best"), null, plain("best")],
  ];
  const shown = table.filter(([name]) => several || name !== "market");
  const texts = new Set(["date", "market", "entry", "exit", "side", "exit by"]);

  const firsts = new Map(); // session -> its first trade
  columns.session.forEach((s, i) => firsts.has(s) || firsts.set(s, i));
  const address = (i) => `#${session(i).id}/${i - firsts.get(columns.session[i]) + 1}`;

  // -- what is asked for --

  const filters = [...document.querySelectorAll("[data-filter]")];
  const state = { by: 0, down: false, first: 0, found: [] };
  const tests = {
    side: (value) => (i) => side(i) === value,
    exit: (value) => (i) => reason(i) === value,
    market: (value) => (i) => market(i) === value,
    result: (value) => (i) => columns.net[i] > 0 === (value === "with a profit"),
    date: (value) => (i) => date(i).startsWith(value.trim()),
  };

  function find() {
    const wanted = filters.filter((f) => f.value.trim()).map((f) => tests[f.dataset.filter](f.value));
    const key = shown[state.by][4];
    const order = columns.session.map((_, i) => i).filter((i) => wanted.every((test) => test(i)));
    const keys = new Map(order.map((i) => [i, key(i)]));
    const [less, more] = state.down ? [1, -1] : [-1, 1];
    order.sort((a, b) => (keys.get(a) < keys.get(b) ? less : keys.get(a) > keys.get(b) ? more : a - b));
    state.found = order;
    state.first = 0;
    render();
  }

  // -- what is shown --

  const body = document.querySelector("#trade-table tbody");
  const head = document.querySelector("#trade-table thead tr");
  const [previous, next] = document.querySelectorAll("#trade-pages button");

  function render() {
    const [count, all] = [state.found.length, columns.session.length];
    const net = state.found.reduce((sum, i) => sum + columns.net[i], 0) / 100;
    const won = state.found.filter((i) => columns.net[i] > 0).length;
    const share = count ? `, ${((100 * won) / count).toFixed(1)}% with a profit, net ${dollars(net)}` : "";
    document.getElementById("trades-found").textContent =
      `${count.toLocaleString("en-US")} of ${all.toLocaleString("en-US")} trades${share}`;
    body.replaceChildren(...state.found.slice(state.first, state.first + rows).map(line));
    const last = Math.min(state.first + rows, count);
    document.querySelector("#trade-pages span").textContent = count
      ? `${(state.first + 1).toLocaleString("en-US")} to ${last.toLocaleString("en-US")}`
      : "none";
    previous.disabled = state.first === 0;
    next.disabled = last >= count;
    [...head.children].forEach((cell, at) => {
      cell.ariaSort = at === state.by ? (state.down ? "descending" : "ascending") : "none";
    });
  }

  function line(i) {
    const row = document.createElement("tr");
    for (const [name, , text] of shown) {
      const cell = row.insertCell();
      if (!texts.has(name)) cell.className = "number";
      if (name === "net") cell.classList.add(columns.net[i] > 0 ? "gain" : "loss");
      if (name !== "date") cell.textContent = text(i);
      else {
        const link = document.createElement("a");
        link.href = address(i);
        link.textContent = text(i);
        cell.append(link);
      }
    }
    row.addEventListener("click", () => (location.hash = address(i)));
    return row;
  }

  shown.forEach(([name], at) => {
    const cell = document.createElement("th");
    if (!texts.has(name)) cell.className = "number";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      state.down = state.by === at ? !state.down : !texts.has(name); // the largest number first
      state.by = at;
      find();
    });
    cell.append(button);
    head.append(cell);
  });
  filters.forEach((filter) => filter.addEventListener("input", find));
  previous.addEventListener("click", () => ((state.first -= rows), render()));
  next.addEventListener("click", () => ((state.first += rows), render()));

  // -- as a file --

  /** A cell of a CSV file; what a spreadsheet would take for a formula is text. */
  function quoted(value) {
    const text = /^[=+@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  document.getElementById("save-trades").addEventListener("click", () => {
    const lines = [table.map(([, name]) => name)];
    for (const i of state.found) lines.push(table.map(([, , text, plainText]) => quoted((plainText ?? text)(i))));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = "trades.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  find();
})();
