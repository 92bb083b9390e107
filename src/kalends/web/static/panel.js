// The door panel: shows what the server sends, and stops believing it when it grows old. No library, nothing newer than 2017.
(function () {
  "use strict";
  var root = document.documentElement, build = root.dataset.build, base = +root.dataset.now, at = Date.now();
  var factor = +root.dataset.factor, stale = +root.dataset.stale, source = null, heard = at, loaded = at, wait = 2000, timer = 0;
  var face = function () { return document.getElementById("face"); };
  var now = function () { return base + (Date.now() - at) * factor; };
  var sync = function (ms) { base = ms; at = Date.now(); };
  var two = function (n) { return (n < 10 ? "0" : "") + n; };
  function clock(ms) {
    var text = new Date(ms).toLocaleTimeString("en-GB", { timeZone: root.dataset.zone, hour: "2-digit", minute: "2-digit" });
    return text.length === 5 ? text : two(new Date(ms).getUTCHours()) + ":" + two(new Date(ms).getUTCMinutes()) + " UTC";
  }
  function ago(ms) {
    var s = Math.max(0, Math.floor(ms / 1000));
    return s < 60 ? s + " s" : s < 3600 ? Math.floor(s / 60) + " min" : s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " days";
  }
  function show(html, isFresh) {
    var box = document.createElement("div");
    box.innerHTML = html;
    if (!box.firstElementChild || box.firstElementChild.id !== "face") return;
    face().replaceWith(box.firstElementChild);
    if (isFresh) sync(+face().dataset.now);
    if (face().dataset.build !== build && Date.now() - loaded > 60000) location.reload();
    tick();
  }
  function tick() {
    var f = face(), t = now(), proof = +f.dataset.proof, turn = +f.dataset.turn;
    var text = f.querySelector("[data-clock]"), age = f.querySelector("[data-age]"), line = f.querySelector("[data-line]");
    if (text) text.textContent = clock(t);
    if (age && proof) age.textContent = ago(t - proof) + " ago";
    if (line) {
      var x = +f.dataset.line + (t - +f.dataset.now) / 576000 + "%";
      line.setAttribute("x1", x); line.setAttribute("x2", x);
    }
    f.dataset.state = t - proof >= stale || (turn && t - turn >= 10000 * factor) ? "unknown" : f.dataset.known;
  }
  function poll() {
    fetch(location.pathname + "/face", { credentials: "same-origin", cache: "no-store" }).then(function (answer) {
      if (answer.status === 401 || answer.status === 403 || answer.status === 404) location.reload();
      return answer.ok ? answer.text() : "";
    }).then(function (html) { if (html) show(html, true); }).catch(function () {});
  }
  function again() {
    if (source) source.close();
    source = null;
    clearTimeout(timer);
    timer = setTimeout(listen, wait / 2 + Math.random() * wait);
    wait = Math.min(wait * 2, 30000);
  }
  function listen() {
    heard = Date.now();
    source = new EventSource(location.pathname + "/live");
    source.onopen = function () { wait = 2000; heard = Date.now(); };
    source.onmessage = function (m) { heard = Date.now(); show(m.data, false); };
    source.addEventListener("proof", function (m) {
      var parts = m.data.split(" ");
      heard = Date.now();
      sync(+parts[0]);
      if (+parts[1]) face().dataset.proof = parts[1];
      tick();
    });
    source.onerror = function () {
      if (source.readyState === 2) poll();  // refused, not only lost: perhaps this panel was revoked
      again();
    };
  }
  setInterval(function () {
    tick();
    if (source && Date.now() - heard > 45000) again();
  }, 1000);
  setInterval(function () { if (!source || source.readyState !== 1) poll(); }, 60000);
  document.addEventListener("contextmenu", function (e) { e.preventDefault(); });
  tick();
  listen();
})();
