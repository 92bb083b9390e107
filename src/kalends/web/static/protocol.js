// An account's conversations: new entries come in on top, until paused; older ones leave, the download has them all.
(function () {
  "use strict";
  const list = document.getElementById("spoken"), pause = document.getElementById("pause");
  const most = Number(list.dataset.most), parser = new DOMParser();
  let after = list.dataset.after, source = null, again = 0;

  function part(html, selector) {
    return document.importNode(parser.parseFromString(html, "text/html").querySelector(selector), true);
  }

  function listen() {
    source = new EventSource(list.dataset.live + "?after=" + encodeURIComponent(after));
    source.onmessage = (m) => {
      after = m.lastEventId || after;
      document.getElementById("silence").hidden = true;
      list.prepend(part(m.data, "li"));
      while (list.children.length > most) list.lastElementChild.remove();
    };
    source.addEventListener("state", (m) => {
      const now = document.getElementById("state"), then = part(m.data, "#state");
      if (now.textContent !== then.textContent) now.replaceWith(then);
    });
    source.onerror = () => { stop(); again = setTimeout(listen, 3000 + Math.random() * 3000); };
  }

  function stop() {
    clearTimeout(again);
    if (source) source.close();
    source = null;
  }

  pause.addEventListener("click", () => {
    const isPaused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Go on" : "Pause";
    stop();
    if (!isPaused) listen();
  });
  listen();
})();
