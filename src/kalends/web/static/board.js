// The overview: replaces what the server sends, keeps times and the now line moving, filters as one types.
(function () {
  "use strict";
  const root = document.documentElement, factor = +root.dataset.factor, stale = +root.dataset.stale;
  let base = +root.dataset.now, at = Date.now(), heard = Date.now(), tried = heard, wait = 2000, source = null, timer = 0, mark = root.dataset.mark;
  const all = (query, from) => Array.from((from || document).querySelectorAll(query));
  const now = () => base + (Date.now() - at) * factor;
  const sync = (ms) => { base = ms; at = Date.now(); };
  const words = document.getElementById("board").dataset;

  function ago(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    return s < 60 ? s + " s" : s < 3600 ? Math.floor(s / 60) + " min" : s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " days";
  }

  function moveRow(row, t) {
    const x = +row.dataset.line + (t - +row.dataset.now) / 576000 + "%";
    all(".now", row).forEach((line) => { line.setAttribute("x1", x); line.setAttribute("x2", x); });
    all(".gone", row).forEach((veil) => veil.setAttribute("width", x.startsWith("-") ? "0" : x));
    all("time[data-ago]", row).forEach((time) => { time.textContent = ago(t - Date.parse(time.dateTime)) + " ago"; });
    if (row.dataset.state !== "unknown" && t - +row.dataset.proof >= stale) distrust(row);
  }

  // Until it is proved again; what it looked like is kept for then.
  function distrust(row) {
    row.trusted = row.outerHTML;
    row.classList.remove("is-" + row.dataset.state);
    row.classList.add("is-unknown");
    row.dataset.state = "unknown";
    all(".pill use", row).forEach((sign) => sign.setAttribute("href", "#sign-unknown"));
    all(".pill span", row).forEach((word) => { word.textContent = words.unknown; });
    all(".when", row).forEach((when) => { when.textContent = ""; });
  }

  function tick() {
    const t = now();
    all(".room").forEach((row) => moveRow(row, t));
    all("[data-clock]").forEach((time) => {
      time.textContent = new Date(t).toLocaleTimeString("en-GB", { timeZone: time.dataset.clock, hour: "2-digit", minute: "2-digit" });
    });
    const lost = document.getElementById("lost");
    lost.hidden = Date.now() - heard < 40000;
    count();
  }

  function count() {
    const rows = all(".room"), counts = {};
    rows.forEach((row) => { counts[row.dataset.state] = (counts[row.dataset.state] || 0) + 1; });
    all("[data-count]").forEach((b) => { b.textContent = b.dataset.count === "all" ? rows.length : counts[b.dataset.count] || 0; });
    all(".building").forEach((house) => {
      const free = all('.room[data-state="available"]', house).length, total = all(".room", house).length;
      all("[data-free]", house).forEach((p) => { p.textContent = words.freeOf.replace("{free}", free).replace("{total}", total); });
    });
  }

  function filter() {
    const query = new URLSearchParams(location.search), state = query.get("state") || "", building = query.get("building") || "";
    const text = (query.get("q") || "").trim().toLowerCase();
    let shown = 0;
    all(".building").forEach((house) => {
      let here = 0;
      all(".room", house).forEach((row) => {
        const fits = (!state || row.dataset.state === state) && (!building || house.dataset.building === building) && (!text || row.dataset.text.includes(text));
        row.hidden = !fits;
        here += fits ? 1 : 0;
      });
      house.hidden = here === 0;
      shown += here;
    });
    const none = document.getElementById("none");
    if (none) none.hidden = shown > 0;
  }

  function show(html) {
    const box = document.createElement("template");
    box.innerHTML = html;
    Array.from(box.content.children).forEach((fresh) => {
      const old = document.getElementById(fresh.id);
      if (!old) { if (fresh.classList.contains("room")) location.reload(); return; }
      const open = all("details[open]", old).map((d) => d.id), focused = old.contains(document.activeElement) && document.activeElement.dataset.focus;
      old.replaceWith(fresh);
      open.forEach((id) => { const d = document.getElementById(id); if (d) d.open = true; });
      if (focused) all('[data-focus="' + focused + '"]', fresh).slice(0, 1).forEach((e) => e.focus());
      if (fresh.classList.contains("room")) fresh.classList.add("is-changed");
    });
    tick();
    filter();
  }

  function prove(data) {
    const parts = data.split(" ");
    heard = Date.now();
    sync(+parts[0]);
    parts.slice(1).forEach((pair) => {
      const cut = pair.lastIndexOf("="), id = "room-" + pair.slice(0, cut), ms = +pair.slice(cut + 1);
      let row = document.getElementById(id);
      if (!row) return;
      if (row.trusted && base - ms < stale) { row.outerHTML = row.trusted; row = document.getElementById(id); }
      row.dataset.proof = ms;
      all("time[data-proof]", row).forEach((time) => { time.dateTime = new Date(ms).toISOString(); });
    });
  }

  // Rooms that were removed leave; new ones come with a message of their own.
  function keep(data) {
    const ids = new Set(data.split(" ")), before = all(".room").length;
    heard = Date.now();
    all(".room").forEach((row) => { if (!ids.has(row.id.slice(5))) row.remove(); });
    all(".building").forEach((house) => { if (!house.querySelector(".room")) house.remove(); });
    const left = all(".room").length, houses = all(".building").length;
    if (left === before) return;
    if (!left) { location.reload(); return; }
    all("[data-size]").forEach((p) => { p.textContent = left + (left === 1 ? " room" : " rooms") + (houses > 1 ? " in " + houses + " buildings" : ""); });
    tick();
    filter();
  }

  function again() {
    if (source) source.close();
    source = null;
    clearTimeout(timer);
    timer = setTimeout(listen, wait / 2 + Math.random() * wait);
    wait = Math.min(wait * 2, 30000);
  }

  function listen() {
    tried = Date.now();
    source = new EventSource("/live?after=" + encodeURIComponent(mark));
    source.onopen = () => { wait = 2000; heard = Date.now(); };
    source.onmessage = (m) => { heard = Date.now(); mark = m.lastEventId || mark; show(m.data); };
    source.addEventListener("rooms", (m) => keep(m.data));
    source.addEventListener("proof", (m) => prove(m.data));
    source.onerror = again;
  }

  const search = document.getElementById("q");
  if (search) search.addEventListener("input", () => {
    const query = new URLSearchParams(location.search);
    if (search.value) query.set("q", search.value); else query.delete("q");
    history.replaceState(null, "", "?" + query);
    filter();
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "/" && search && document.activeElement !== search) { e.preventDefault(); search.focus(); }
  });
  setInterval(() => { tick(); if (source && Date.now() - Math.max(heard, tried) > 45000) again(); }, 2000);
  tick();
  listen();
})();
