"use strict";
// The page of the catalogue. Its data comes with it, except for plots and lists of files: these are scripts beside it,
// as a page that is opened from a folder may not fetch files.

const catalogue = JSON.parse(document.getElementById("catalogue").textContent);
const main = document.getElementById("main");
const MINUTE = 60000, DAY = 86400000;
const TONES = {
  fresh: "good", late: "warn", silent: "bad", empty: "bad", unscheduled: "none",
  good: "good", suspect: "warn", fail: "bad", missing: "bad", "not evaluated": "none",
  Completed: "good", Skipped: "good", Failed: "bad", Crashed: "bad", TimedOut: "bad", Cancelled: "warn", Late: "warn",
};
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_~";

/* ---- elements ---- */

function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  if (ROLES[name]) node.setAttribute("role", ROLES[name]);  // cards on a phone would lose what they mean
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.flat());
  return node;
}

function titled(node, text) {
  node.append(svg("title", {}, text));
  return node;
}

const ROLES = { table: "table", thead: "rowgroup", tbody: "rowgroup", tr: "row", td: "cell", th: "columnheader" };

const stateOf = (word) => el("span", { class: `state ${TONES[word] || "none"}` }, word);
const link = (hash, ...children) => el("a", { href: hash }, ...children);
const lakeLink = (path) => el("a", { class: "path", href: "../" + path.split("/").map(encodeURIComponent).join("/") }, path);

/* ---- words ---- */

const day = (ms) => new Date(ms).toISOString().slice(0, 10);
const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ") + " UTC";
const count = (number, noun, plural = noun + "s") => `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
const percent = (share) => `${Math.floor(100 * share)}%`;

function lasting(ms) {
  const minutes = Math.max(0, Math.round(ms / MINUTE));
  if (minutes < 90 && minutes !== 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.round(minutes / 60)} h`;
  return `${Math.round(minutes / 1440)} days`;
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  return `${(bytes / 1000 ** power).toPrecision(power ? 3 : undefined)} ${units[power]}`;
}

const figure = (value) => value === null || value === undefined ? "" : Number(value.toPrecision(6)).toLocaleString("en", { maximumSignificantDigits: 6 });

/* ---- series ---- */

const columns = catalogue.series;
const names = columns.entry.map((_, index) => [
  catalogue.entries[columns.entry[index]].source,
  catalogue.locations[columns.location[index]],
  catalogue.variables[columns.variable[index]],
].join("/"));
const lowered = names.map((name, index) => `${name} ${catalogue.entries[columns.entry[index]].name}`.toLowerCase());
const seriesHash = (index) => `#/series/${encodeURIComponent(catalogue.entries[columns.entry[index]].name)}/${encodeURIComponent(names[index])}`;
const entryHash = (name) => `#/entries/${encodeURIComponent(name)}`;
const setHash = (name) => `#/sets/${encodeURIComponent(name)}`;
const fileHash = (path) => `#/files/${encodeURIComponent(path)}`;
const stateName = (index) => catalogue.states[columns.state[index]];
const flagName = (index) => catalogue.flags[columns.flag[index]] || "";
const time = (column, index) => columns[column][index] === null ? null : columns[column][index] * MINUTE;

/* ---- further files ---- */

const waiting = new Map(), received = new Map();
catalogue.receive = ([name, key, content]) => { if (key === catalogue.keys[name]) received.set(name, content); };
window.catalogue = catalogue;

function load(name) {
  if (received.has(name)) return Promise.resolve(received.get(name));
  if (!waiting.has(name)) {
    waiting.set(name, new Promise((resolve, reject) => {
      const fail = (reason) => { waiting.delete(name); reject(new Error(`${name}.js ${reason}`)); };
      document.head.append(el("script", {
        src: `${name}.js?${catalogue.keys[name]}`,
        onload: () => received.has(name) ? resolve(received.get(name)) : fail("belongs to a newer page; load this page again"),
        onerror: () => fail("cannot be read; it belongs beside this page"),
      }));
    }));
  }
  return waiting.get(name);
}

function later(name, show) {
  const place = el("div", { "aria-busy": "true" }, el("p", { class: "faint" }, "Loading …"));
  load(name).then((content) => place.replaceChildren(...[show(content)].flat()))
    .catch((error) => place.replaceChildren(el("p", { class: "bad" }, error.message)))
    .finally(() => place.removeAttribute("aria-busy"));
  return place;
}

/* ---- small plots ---- */

function decode(text, width) {
  const points = [];
  for (let at = 0; at < text.length; at += width) {
    let number = 0;
    for (let next = at; next < at + width; next += 1) number = number * 64 + ALPHABET.indexOf(text[next]);
    points.push(text[at] === "-" ? null : number);
  }
  return points;
}

function path(points, x, y) {
  let line = "", drawing = false;
  points.forEach((point, at) => {
    if (point === null) { drawing = false; return; }
    line += `${drawing ? "L" : "M"}${x(at).toFixed(1)} ${y(point).toFixed(1)}${drawing ? "" : "h.01"}`;
    drawing = true;
  });
  return line;
}

function joinSparse(points, most) {
  // A daily series has a point in one bin of many: the points are joined, unless more than `most` bins lack.
  const joined = points.slice();
  let last = null;
  points.forEach((point, at) => {
    if (point === null) return;
    if (last !== null && at - last > 1 && at - last <= most) for (let gap = last + 1; gap < at; gap += 1) joined[gap] = points[last] + (point - points[last]) * (gap - last) / (at - last);
    last = at;
  });
  return joined;
}

function spark(index, text) {
  if (!text) return el("span", { class: "faint" }, "no values");
  const points = joinSparse(decode(text, 1), Math.ceil(columns.resolution[index] / catalogue.sparkStep));
  const drawing = svg("svg", { viewBox: "0 0 160 28", preserveAspectRatio: "none", class: "spark", role: "img", "aria-label": `Last weeks of ${names[index]}` });
  drawing.append(svg("path", { class: "line", d: path(points, (at) => 1 + at * 158 / Math.max(1, points.length - 1), (point) => 26 - point * 24 / 61) }));
  return drawing;
}

const sparks = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    sparks.unobserve(entry.target);
    const index = Number(entry.target.dataset.spark);
    load("sparks").then((texts) => entry.target.replaceChildren(spark(index, texts[index]))).catch(() => entry.target.replaceChildren("no plot"));
  }
}, { rootMargin: "300px" });

/* ---- coverage over the years ---- */

function shares(periods, start, end) {
  // The covered share of each month from `start` to `end`, in ms: [month, share].
  const months = [];
  for (let at = new Date(start); +at < end;) {
    const next = Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 1);
    const from = Math.max(start, +at), to = Math.min(end, next);
    let covered = 0;
    for (const [first, last] of periods) covered += Math.max(0, Math.min(last, to) - Math.max(first, from));
    months.push([new Date(from).toISOString().slice(0, 7), covered / (to - from)]);
    at = new Date(next);
  }
  return months;
}

function years(periods, label, until) {
  if (!periods.length) return el("p", { class: "faint" }, "Snapshots: no period is covered.");
  const start = periods[0][0], end = Math.max(until || 0, periods[periods.length - 1][1]);
  const months = shares(periods, start, end), byYear = new Map();
  for (const [month, share] of months) {
    const year = month.slice(0, 4);
    if (!byYear.has(year)) byYear.set(year, []);
    byYear.get(year).push([Number(month.slice(5)), share]);
  }
  const lacking = months.filter(([, share]) => share < 1).map(([month, share]) => `${month} ${percent(share)}`);
  const drawing = svg("svg", { viewBox: `0 -12 300 ${byYear.size * 18 + 14}`, width: "100%", style: "max-width:26rem", role: "img", "aria-label": `${label}, by month: ${lacking.length ? "complete but for " + lacking.slice(0, 24).join(", ") : "complete"}` });
  [..."JFMAMJJASOND"].forEach((letter, at) => drawing.append(svg("text", { x: 44 + at * 22, y: -2, "text-anchor": "middle" }, letter)));
  let row = 0;
  for (const [year, cells] of byYear) {
    drawing.append(svg("text", { x: 0, y: row * 18 + 13 }, year));
    for (const [month, share] of cells) {
      const x = 34 + (month - 1) * 22, height = Math.max(share > 0 ? 2 : 0, Math.floor(14 * share));
      const cell = svg("g", {}, svg("rect", { x, y: row * 18 + 2, width: 20, height: 14, class: "hole" }), svg("rect", { x, y: row * 18 + 16 - height, width: 20, height, class: "fill" }));
      drawing.append(titled(cell, `${year}-${String(month).padStart(2, "0")}: ${percent(share)}`));
    }
    row += 1;
  }
  return el("div", {}, drawing, lacking.length ? el("p", { class: "faint" }, `Not complete: ${lacking.slice(0, 12).join(", ")}${lacking.length > 12 ? ` and ${lacking.length - 12} more months` : ""}`) : el("p", { class: "faint" }, "Every month is complete."));
}

const strip = (periods, until, label) => {
  if (!periods.length) return el("span", { class: "faint" }, "snapshots");
  const start = periods[0][0], end = Math.max(until || 0, periods[periods.length - 1][1]), scale = 200 / (end - start);
  const drawing = svg("svg", { viewBox: "0 0 200 12", preserveAspectRatio: "none", width: "100%", height: 14, role: "img", "aria-label": label }, svg("rect", { width: 200, height: 12, class: "lack" }));
  for (const [first, last] of periods) drawing.append(svg("rect", { x: (first - start) * scale, width: Math.max(.5, (last - first) * scale), height: 12, class: "fill" }));
  return drawing;
};

/* ---- quality ---- */

function calendar(days) {
  const dates = Object.keys(days).sort();
  if (!dates.length) return el("p", { class: "faint" }, "No check of stored values has looked at this series.");
  const first = Date.parse(dates[0]), last = Date.parse(dates[dates.length - 1]), offset = (new Date(first).getUTCDay() + 6) % 7;
  const weeks = Math.floor(((last - first) / DAY + offset) / 7) + 1, counts = {};
  const drawing = svg("svg", { viewBox: `0 0 ${weeks * 16 + 30} 116`, style: `max-width:${weeks * 16 + 30}px`, width: "100%", role: "img" });
  ["Mon", "", "Wed", "", "Fri", "", "Sun"].forEach((name, row) => drawing.append(svg("text", { x: 0, y: row * 16 + 12 }, name)));
  for (const date of dates) {
    const place = (Date.parse(date) - first) / DAY + offset, flag = days[date];
    counts[flag] = (counts[flag] || 0) + 1;
    drawing.append(titled(svg("rect", { x: 30 + Math.floor(place / 7) * 16, y: (place % 7) * 16, width: 14, height: 14, rx: 2, class: TONES[flag] || "none" }), `${date}: ${flag}`));
  }
  const summary = Object.entries(counts).map(([flag, number]) => `${count(number, "day")} ${flag}`).join(", ");
  drawing.setAttribute("aria-label", `Quality by day: ${summary}`);
  const bad = dates.filter((date) => ["warn", "bad"].includes(TONES[days[date]])).map((date) => `${date} ${days[date]}`);
  return el("div", {}, drawing, el("p", { class: "faint" }, summary + (bad.length ? `. Not good: ${bad.slice(-10).join(", ")}${bad.length > 10 ? " and earlier days" : ""}` : "")));
}

/* ---- tables ---- */

function table(caption, headings, rows) {
  const body = el("tbody");
  for (const cells of rows) body.append(el("tr", {}, cells.map((cell, at) => el("td", { "data-label": headings[at], class: at === 0 ? "name" : null }, ...[cell].flat()))));
  return el("table", { class: "cards" }, el("caption", {}, caption), el("thead", {}, el("tr", {}, headings.map((heading) => el("th", { scope: "col" }, heading)))), body);
}

const pairs = (items) => el("dl", {}, items.filter(([, value]) => value !== null && value !== "").map(([name, value]) => [el("dt", {}, name), el("dd", {}, ...[value].flat())]));

function licenceOf(source) {
  const licence = catalogue.licences[source];
  if (!licence) return "not known; read the terms of the upstream";
  return [el("a", { href: licence.url, rel: "noreferrer" }, licence.title), licence.name ? ` (${licence.name})` : "", `. ${licence.terms}`, licence.attribution ? ` Name it: ${licence.attribution}.` : ""];
}

/* ---- views ---- */

const SORTS = {
  name: (index) => names[index], entry: (index) => catalogue.entries[columns.entry[index]].name,
  coverage: (index) => columns.coverage[index] ?? 2, last: (index) => columns.last[index] ?? 0,
  state: (index) => ["silent", "empty", "late", "unscheduled", "fresh"].indexOf(stateName(index)),
  quality: (index) => ["fail", "missing", "suspect", "not evaluated", "good", ""].indexOf(flagName(index)),
};

function seriesList(parameters) {
  const filters = { q: "", entry: "", state: "", quality: "", sort: "name", down: "", ...parameters };
  const tally = el("p", { class: "count", role: "status" }), body = el("tbody");
  const more = el("button", { onclick: () => grow() }, "Show more");
  let chosen = [], shown = 0;

  function grow() {
    const next = chosen.slice(shown, shown + 100);
    body.append(...next.map(seriesRow));
    shown += next.length;
    more.hidden = shown >= chosen.length;
  }

  function apply() {
    const words = filters.q.toLowerCase().split(/\s+/).filter(Boolean);
    chosen = names.map((_, index) => index).filter((index) =>
      words.every((word) => lowered[index].includes(word))
      && (!filters.entry || catalogue.entries[columns.entry[index]].name === filters.entry)
      && (!filters.state || stateName(index) === filters.state)
      && (!filters.quality || flagName(index) === filters.quality));
    const value = SORTS[filters.sort] || SORTS.name, direction = filters.down ? -1 : 1;
    if (filters.sort !== "name" || filters.down) chosen.sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : a - b) * direction);
    shown = 0;
    body.replaceChildren();
    grow();
    tally.textContent = `${chosen.length.toLocaleString("en")} of ${count(names.length, "series", "series")}`;
    for (const heading of view.querySelectorAll("th[data-sort]")) heading.setAttribute("aria-sort", heading.dataset.sort !== filters.sort ? "none" : filters.down ? "descending" : "ascending");
    const query = new URLSearchParams(Object.entries(filters).filter(([key, text]) => text && !(key === "sort" && text === "name")));
    history.replaceState(null, "", `#/series${String(query) && "?" + query}`);
  }

  const choice = (key, label, options) => options.length < 2 ? null : el("label", {}, label, el("select", { onchange: (event) => { filters[key] = event.target.value; apply(); } }, el("option", { value: "" }, "all"), options.map((option) => el("option", { value: option, selected: option === filters[key] }, option))));
  const heading = (key, text, number) => el("th", { scope: "col", "data-sort": key, class: number ? "number" : null }, el("button", { onclick: () => { filters.down = filters.sort === key && !filters.down ? "1" : ""; filters.sort = key; apply(); } }, text));
  const checked = columns.flag.some(Boolean);
  const used = (list, index) => [...new Set(list.map(index))].filter(Boolean).sort();
  const all = names.map((_, index) => index);
  const view = el("section", { "aria-label": "Series" },
    el("div", { class: "filters" },
      el("label", { class: "search" }, "Search", el("input", { type: "search", id: "search", value: filters.q, placeholder: "source, location, variable, entry", oninput: (event) => { filters.q = event.target.value; apply(); } })),
      choice("entry", "Entry", catalogue.entries.map((entry) => entry.name)),
      choice("state", "State", used(all, stateName)),
      choice("quality", "Quality", used(all, flagName))),
    tally,
    el("table", { class: "cards" }, el("caption", {}, "Series with their last weeks"), el("thead", {}, el("tr", {},
      heading("name", "Series"), heading("entry", "Entry"), heading("state", "State"), heading("last", "Last value"), el("th", { scope: "col" }, "Last weeks"), heading("coverage", "Covered", true), checked ? heading("quality", "Quality") : null)), body),
    more);
  new IntersectionObserver((entries) => { if (entries[0].isIntersecting && !more.hidden) grow(); }, { rootMargin: "600px" }).observe(more);
  queueMicrotask(apply);
  return view;
}

function seriesRow(index) {
  const last = time("last", index), plot = el("td", { "data-spark": index });
  sparks.observe(plot);
  return el("tr", {},
    el("td", { class: "name" }, link(seriesHash(index), names[index]), " ", el("small", {}, catalogue.units[columns.unit[index]])),
    el("td", { "data-label": "Entry" }, catalogue.entries[columns.entry[index]].name),
    el("td", {}, stateOf(stateName(index)), stateName(index) === "late" ? ` ${lasting(columns.late[index] * MINUTE)}` : ""),
    el("td", { "data-label": "Last value" }, last === null ? "" : moment(last)),
    plot,
    el("td", { class: "number", "data-label": "Covered" }, columns.coverage[index] === null ? "" : percent(columns.coverage[index] / 10000)),
    columns.flag.some(Boolean) ? el("td", { "data-label": flagName(index) ? "Quality" : null }, flagName(index) ? stateOf(flagName(index)) : "") : null);
}

function problems() {
  const notes = [];
  for (const entry of catalogue.entries) {
    for (const problem of entry.problems) notes.push([link(entryHash(entry.name), entry.name), `: ${problem}`]);
    const late = names.map((_, index) => index).filter((index) => columns.entry[index] === catalogue.entries.indexOf(entry) && stateName(index) === "late");
    if (late.length) notes.push([link(`#/series?entry=${encodeURIComponent(entry.name)}&state=late`, entry.name), `: ${count(late.length, "series is", "series are")} late, by up to ${lasting(Math.max(...late.map((index) => columns.late[index])) * MINUTE)}`]);
    if (entry.failed.length) notes.push([link(entryHash(entry.name), entry.name), `: ${count(entry.failed.length, "period")} failed and ${entry.failed.length === 1 ? "is" : "are"} still missing`]);
  }
  for (const schedule of catalogue.schedules || []) {
    if (schedule.last && ["bad", "warn"].includes(TONES[schedule.last.state])) notes.push([`${schedule.name}: the last run is ${schedule.last.state}${schedule.last.message ? ": " + schedule.last.message : ""}`]);
    if (!schedule.active) notes.push([`${schedule.name}: the schedule is paused`]);
  }
  const bad = names.map((_, index) => index).filter((index) => TONES[stateName(index)] === "bad" || TONES[flagName(index)] === "bad");
  for (const index of bad.slice(0, 12)) notes.push([link(seriesHash(index), names[index]), `: ${[stateName(index), flagName(index)].filter((word) => TONES[word] === "bad").join(", ")}${columns.last[index] === null ? "" : `, last value ${moment(time("last", index))}`}`]);
  if (bad.length > 12) notes.push([`${bad.length - 12} more series are silent, empty or of bad quality`]);
  return notes;
}

function overview() {
  const counts = new Map(), flags = new Map();
  names.forEach((_, index) => {
    counts.set(stateName(index), (counts.get(stateName(index)) || 0) + 1);
    if (flagName(index)) flags.set(flagName(index), (flags.get(flagName(index)) || 0) + 1);
  });
  const tile = (hash, tone, number, text) => el("li", {}, el("a", { href: hash, class: tone }, el("b", {}, number.toLocaleString("en")), el("span", {}, text)));
  const notes = problems();
  return [
    el("ul", { class: "tiles" },
      [...counts].sort(([a], [b]) => catalogue.states.indexOf(a) - catalogue.states.indexOf(b)).map(([state, number]) => tile(`#/series?state=${encodeURIComponent(state)}`, TONES[state], number, `series ${state}`)),
      [...flags].map(([flag, number]) => tile(`#/series?quality=${encodeURIComponent(flag)}`, TONES[flag], number, `quality ${flag}`)),
      tile("#/entries", "none", catalogue.entries.length, catalogue.entries.length === 1 ? "entry" : "entries"),
      catalogue.sets.length ? tile("#/sets", "none", catalogue.sets.length, catalogue.sets.length === 1 ? "training set" : "training sets") : null),
    el("h2", {}, "Needs attention"),
    notes.length ? el("ul", { class: "notes" }, notes.map((note) => el("li", {}, ...note))) : el("p", { class: "faint" }, "Nothing: no entry has problems, no series is silent, and no last run failed."),
    el("h2", {}, "Schedules"),
    schedules(),
    el("h2", {}, "Coverage"),
    entriesTable(),
  ];
}

function schedules() {
  if (!catalogue.schedules) return el("p", { class: "faint" }, "Not known: no Prefect server was asked when this page was made.");
  if (!catalogue.schedules.length) return el("p", { class: "faint" }, "The server has no scheduled deployments; gridtide deploy creates them.");
  return table("Deployments with a schedule, as the server had them when this page was made", ["Deployment", "Schedule", "Last run", "Next run"], catalogue.schedules.map((schedule) => [
    schedule.name,
    schedule.active ? `${schedule.cron} ${schedule.timezone}` : `${schedule.cron} ${schedule.timezone} (paused)`,
    schedule.last ? [stateOf(schedule.last.state), schedule.last.time ? ` ${moment(Date.parse(schedule.last.time))}` : ""] : "none yet",
    schedule.next ? moment(Date.parse(schedule.next)) : "none",
  ]));
}

function entriesTable() {
  return table("Entries and the time that their files cover", ["Entry", "From", "Covered over time", "To", "Covered", "Newest file"], catalogue.entries.map((entry) => [
    [link(entryHash(entry.name), entry.name), entry.problems.length ? el("span", { class: "bad" }, ` ${count(entry.problems.length, "problem")}`) : ""],
    entry.covered.length ? day(entry.covered[0][0]) : "",
    strip(entry.covered, entry.due, `Coverage of ${entry.name}`),
    entry.covered.length ? day(Math.max(entry.due, entry.covered[entry.covered.length - 1][1])) : "",
    entry.coverage === null ? "" : percent(entry.coverage),
    entry.newest ? `${lasting(Date.parse(catalogue.made) - entry.newest)} before this page` : "no files yet",
  ]));
}

function entryView(name) {
  const number = catalogue.entries.findIndex((entry) => entry.name === name), entry = catalogue.entries[number];
  if (!entry) return absent(`There is no entry ${name}.`);
  return [
    el("h2", {}, entry.name), entry.description ? el("p", {}, entry.description) : null,
    pairs([
      ["Source", entry.source], ["Licence and terms", licenceOf(entry.source)],
      ["Schedule", entry.schedule || "none"], ["Resolution", lasting(entry.resolution * 1000)],
      ["Files", `${count(entry.files, "file")} with ${count(entry.rows, "row")}, ${size(entry.bytes)}${entry.removed ? `; ${entry.removed.toLocaleString("en")} of them are in compacted months only` : ""}${entry.superseded ? `; ${entry.superseded.toLocaleString("en")} more are superseded` : ""}`],
      ["Place", el("span", { class: "path" }, `${entry.folder}/${entry.prefix}_…`)],
      ["Newest file", entry.newest ? moment(entry.newest) : "no files yet"],
      ["Series", link(`#/series?entry=${encodeURIComponent(name)}`, "all series of this entry")],
    ]),
    entry.problems.length ? [el("h3", {}, "Problems"), el("ul", { class: "notes" }, entry.problems.map((problem) => el("li", {}, problem)))] : null,
    entry.failed.length ? [el("h3", {}, "Failed and still missing"), el("ul", { class: "notes" }, entry.failed.map(([start, end]) => el("li", {}, `${moment(start)} to ${moment(end)}`)))] : null,
    el("h3", {}, "Coverage"), years(entry.covered, `Coverage of ${name}`, entry.due),
    el("h3", {}, "Files, the newest first"), later(`files/${number}`, (files) => fileTable(files, files.rows.map((_, at) => at))),
  ].flat();
}

function fileTable(files, chosen) {
  const body = el("tbody"), order = chosen.slice().reverse();
  const more = el("button", { onclick: () => grow() }, "Show more files");
  let shown = 0;
  function grow() {
    for (const at of order.slice(shown, shown + 50)) {
      const file = files.rows[at];
      body.append(el("tr", {},
        el("td", { class: "name" }, el("a", { class: "path", href: fileHash(files.folder + file[0]) }, file[0].slice(1))),
        el("td", { "data-label": "Stored" }, moment(file[1] * 1000)),
        el("td", { class: "number", "data-label": "Rows" }, file[2].toLocaleString("en")),
        el("td", { class: "number", "data-label": "Bodies" }, String(file[6].reduce((sum, index) => sum + files.bodies[index][1], 0) || "")),
        el("td", { "data-label": "Sets" }, ...file[5].flatMap((number) => [link(setHash(catalogue.sets[number].name), catalogue.sets[number].name), " "]))));
    }
    shown += 50;
    more.hidden = shown >= order.length;
  }
  grow();
  return [el("table", { class: "cards" }, el("caption", {}, count(order.length, "file")), el("thead", {}, el("tr", {}, ["File", "Stored", "Rows", "Bodies", "Used by"].map((text, at) => el("th", { scope: "col", class: at === 2 || at === 3 ? "number" : null }, text)))), body), more];
}

function fileView(path) {
  const number = catalogue.entries.findIndex((entry) => path.startsWith(`${entry.folder}/${entry.prefix}_`));
  if (number < 0) return absent(`There is no file ${path} in the catalogue.`);
  return [el("h2", { class: "path" }, path), later(`files/${number}`, (files) => {
    const file = files.rows.find((row) => files.folder + row[0] === path);
    if (!file) return el("p", {}, "There is no such file any more.");
    const [, stored, rows, hash, months, sets, bodies, bytes, state] = file;
    return [
      pairs([
        ["Entry", link(entryHash(catalogue.entries[number].name), catalogue.entries[number].name)],
        ["State", ["present", "removed: its rows are in the compacted months", "superseded by other files"][state]],
        ["Stored", moment(stored * 1000)], ["Rows", rows.toLocaleString("en")], ["Size", size(bytes)],
        ["Content hash", el("span", { class: "path" }, hash)],
        state === 1 ? ["", ""] : ["File", lakeLink(path)],
      ]),
      el("h3", {}, "Made from"),
      bodies.length ? el("ul", { class: "notes" }, bodies.map((index) => el("li", {}, lakeLink(files.bodies[index][0]), ` ${count(files.bodies[index][1], "body", "bodies")}, ${size(files.bodies[index][2])}`))) : el("p", { class: "faint" }, "No bodies are kept any more, or the entry keeps none."),
      el("h3", {}, "Used by"),
      months.length + sets.length ? el("ul", { class: "notes" },
        sets.map((index) => el("li", {}, "training set ", link(setHash(catalogue.sets[index].name), catalogue.sets[index].name))),
        months.map((index) => el("li", {}, "month ", lakeLink(`processed/${catalogue.entries[number].folder}/${catalogue.entries[number].prefix}/${files.months[index].slice(0, 4)}/${files.months[index]}.parquet`)))) : el("p", { class: "faint" }, "Nothing yet: no compacted month and no training set of this lake."),
      el("p", { class: "faint" }, "The hash and the request of every body: ", el("code", {}, `gridtide lineage ${path}`)),
    ];
  })];
}

function setsView() {
  if (!catalogue.sets.length) return [el("h2", {}, "Training sets"), el("p", { class: "faint" }, "There is none in this lake; gridtide prepare makes them.")];
  return [el("h2", {}, "Training sets"), table("Sets under features/", ["Set", "Targets", "Locations", "From", "To", "Files"], catalogue.sets.map((set) => [
    link(setHash(set.name), set.name), set.targets.slice(0, 3).join(", ") + (set.targets.length > 3 ? ` and ${set.targets.length - 3} more` : ""),
    String(set.locations.length), set.period[0].slice(0, 10), set.period[1].slice(0, 10), set.files.toLocaleString("en")]))];
}

function setView(name) {
  const number = catalogue.sets.findIndex((set) => set.name === name), set = catalogue.sets[number];
  if (!set) return absent(`There is no training set ${name}.`);
  return [
    el("h2", {}, set.name),
    pairs([
      ["Period", `${set.period[0].slice(0, 16)} to ${set.period[1].slice(0, 16)}`], ["Locations", set.locations.join(", ")], ["Targets", set.targets.join(", ")],
      ["Corrections", Object.entries(set.corrections).flatMap(([kind, records]) => records.map((record) => kind === "shifts" ? `${record.series} shifted by ${record.by} from ${record.from}${record.until ? ` until ${record.until}` : ""}` : `${record.series} stored as ${record.from}`)).join("; ") || "none"],
      ["Made with", Object.entries(set.versions).map(([key, version]) => `${key} ${version}`).join(", ")],
      ["Fingerprint", el("span", { class: "path" }, set.fingerprint)], ["Manifest", lakeLink(set.manifest)],
    ]),
    el("h3", {}, `Made from ${count(set.files, "file")}`),
    ...set.entries.map(([entry, files]) => el("details", { ontoggle: (event) => {
      if (!event.target.open || event.target.childElementCount > 1) return;
      event.target.append(entry < 0 ? el("p", { class: "faint" }, "Its entry is no longer in the configuration.") : later(`files/${entry}`, (list) => fileTable(list, list.rows.map((_, at) => at).filter((at) => list.rows[at][5].includes(number)))));
    } }, el("summary", {}, `${entry < 0 ? "entries that are no longer configured" : catalogue.entries[entry].name}: ${count(files, "file")}`))),
    set.missing ? el("p", { class: "bad" }, `${count(set.missing, "file")} of the set ${set.missing === 1 ? "is" : "are"} not in the lake as ${set.missing === 1 ? "it was" : "they were"}: the set cannot be made again.`) : null,
    el("p", { class: "faint" }, "Every file, body and hash: ", el("code", {}, `gridtide lineage ${set.name}`)),
  ];
}

function plot(detail, index) {
  const raw = decode(detail.points, 2), unit = catalogue.units[columns.unit[index]];
  const points = joinSparse(raw, Math.ceil(columns.resolution[index] / detail.step));
  const present = raw.map((point, at) => point === null ? -1 : at).filter((at) => at >= 0);
  if (!present.length) return el("p", { class: "faint" }, "No values in these weeks.");
  const low = detail.low, high = detail.high, span = high - low || 1;
  const value = (point) => low + point * span / 4095;
  const width = Math.min(800, Math.max(320, main.clientWidth - 32)), left = 58, right = width - 10, top = 10, bottom = 220;
  const x = (at) => left + at * (right - left) / Math.max(1, points.length - 1), y = (point) => bottom - point * (bottom - top) / 4095;
  const drawing = svg("svg", { viewBox: `0 0 ${width} 246`, class: "plot", role: "img", "aria-label": `${names[index]} from ${moment(detail.start * 1000)}: between ${figure(low)} and ${figure(high)} ${unit}` });
  for (const share of [0, .5, 1]) {
    const at = bottom - share * (bottom - top);
    drawing.append(svg("line", { x1: left, x2: right, y1: at, y2: at, class: "grid" }), svg("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, figure(Number((low + share * span).toPrecision(3)))));
  }
  for (let at = 0; at < points.length; at += Math.max(1, Math.round(7 * 86400 / detail.step))) {
    drawing.append(svg("line", { x1: x(at), x2: x(at), y1: top, y2: bottom, class: "grid" }), svg("text", { x: x(at), y: 238, "text-anchor": at ? "middle" : "start" }, day((detail.start + at * detail.step) * 1000).slice(width < 600 ? 5 : 0)));
  }
  const dot = svg("circle", { r: 4, class: "fill" });
  drawing.append(svg("path", { class: "line", d: path(points, x, y) }), dot);
  const readout = el("output", {}), slider = el("input", { type: "range", min: 0, max: present.length - 1, value: present.length - 1, "aria-label": "Time in the plot", oninput: () => show(Number(slider.value)) });
  function show(number) {
    const at = present[number];
    dot.setAttribute("cx", x(at)); dot.setAttribute("cy", y(raw[at]));
    readout.textContent = `${moment((detail.start + at * detail.step) * 1000)}: ${figure(Number(value(raw[at]).toPrecision(4)))} ${unit}`;
    slider.setAttribute("aria-valuetext", readout.textContent);
  }
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect(), wanted = ((event.clientX - box.left) * width / box.width - left) * Math.max(1, points.length - 1) / (right - left);
    let nearest = 0;
    present.forEach((at, number) => { if (Math.abs(at - wanted) < Math.abs(present[nearest] - wanted)) nearest = number; });
    slider.value = nearest; show(nearest);
  });
  show(present.length - 1);
  return el("div", {}, drawing, el("div", { class: "readout" }, slider, readout));
}

function phrases(heading, texts) {
  if (!texts.length) return el("span");
  return el("div", {}, el("h3", {}, heading), el("ul", { class: "notes" }, texts.map((text) => el("li", {}, text))));
}

function seriesView(entryName, name) {
  const index = names.findIndex((text, at) => text === name && catalogue.entries[columns.entry[at]].name === entryName);
  if (index < 0) return absent(`There is no series ${name} of ${entryName}.`);
  const entry = catalogue.entries[columns.entry[index]], last = time("last", index);
  const meaning = catalogue.meanings[catalogue.variables[columns.variable[index]]];
  return [
    el("h2", {}, name), meaning ? el("p", {}, meaning) : null,
    el("p", {}, stateOf(stateName(index)), stateName(index) === "late" ? ` ${lasting(columns.late[index] * MINUTE)} behind what is due` : "", " ", flagName(index) ? ["· quality ", stateOf(flagName(index))] : null),
    el("h3", {}, "Last weeks"),
    later(`series/${Math.floor(index / catalogue.chunk)}`, (details) => details[index % catalogue.chunk] ? plot(details[index % catalogue.chunk], index) : el("p", { class: "faint" }, "No rows in the last weeks.")),
    pairs([
      ["Entry", link(entryHash(entry.name), entry.name)],
      ["Unit", catalogue.units[columns.unit[index]]], ["Resolution", lasting(columns.resolution[index] * 1000)],
      ["Period", columns.start[index] === null ? "" : `${moment(time("start", index))} to ${moment(time("end", index))}`],
      ["Covered", columns.coverage[index] === null ? "" : percent(columns.coverage[index] / 10000)],
      ["Last value", last === null ? "none" : moment(last)],
      ["Vintages", columns.vintages[index] === null ? "" : `${columns.vintages[index] / 100} per interval in the last weeks`],
      ["Licence and terms", licenceOf(entry.source)],
    ]),
    later(`series/${Math.floor(index / catalogue.chunk)}`, (details) => phrases("Corrections", (details[index % catalogue.chunk] || {}).corrections || [])),
    el("h3", {}, "Coverage by month"),
    later(`series/${Math.floor(index / catalogue.chunk)}`, (details) => years((details[index % catalogue.chunk] || {}).covered || [], `Coverage of ${name}`)),
    el("h3", {}, "Quality by day"),
    later(`series/${Math.floor(index / catalogue.chunk)}`, (details) => calendar((details[index % catalogue.chunk] || {}).calendar || {})),
    later(`series/${Math.floor(index / catalogue.chunk)}`, (details) => phrases("Comparisons", (details[index % catalogue.chunk] || {}).comparisons || [])),
    el("h3", {}, `Made from ${count(columns.files[index], "file")}`),
    later(`files/${columns.entry[index]}`, (files) => fileTable(files, expand(files.groups[columns.group[index]] || []))),
  ].flat();
}

const expand = (ranges) => ranges.flatMap(([first, end]) => Array.from({ length: end - first }, (_, at) => first + at));
const absent = (text) => [el("p", {}, text), el("p", {}, link("#/", "Go to the overview"))];

/* ---- routes ---- */

function show() {
  const [place, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "", ...parts] = place.split("/").map(decodeURIComponent);
  const parameters = Object.fromEntries(new URLSearchParams(query));
  const routes = {
    "": () => overview(), entries: () => parts.length ? entryView(parts[0]) : [el("h2", {}, "Entries"), entriesTable()],
    series: () => parts.length ? seriesView(parts[0], parts[1]) : [seriesList(parameters)],
    sets: () => parts.length ? setView(parts[0]) : setsView(), files: () => fileView(parts[0]),
  };
  const content = (routes[view] || (() => absent("There is no such page.")))();
  main.replaceChildren(...content.filter(Boolean));
  for (const anchor of document.querySelectorAll("nav a")) {
    if (anchor.dataset.view === (view || "overview")) anchor.setAttribute("aria-current", "page"); else anchor.removeAttribute("aria-current");
  }
  document.title = [parts[parts.length - 1] || view, "Catalogue of the lake"].filter(Boolean).join(" · ");
  return view;
}

window.addEventListener("hashchange", () => { show(); window.scrollTo(0, 0); main.focus({ preventScroll: true }); });
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
  event.preventDefault();
  if (!document.getElementById("search")) { history.pushState(null, "", "#/series"); show(); }
  document.getElementById("search").focus();
});

const age = Date.now() - Date.parse(catalogue.made), made = document.getElementById("made");
made.textContent = `Made ${age < 2 * MINUTE ? "just now" : lasting(age) + " ago"}, ${moment(Date.parse(catalogue.made))}`;
made.classList.toggle("old", age > 26 * 3600000);
show();
