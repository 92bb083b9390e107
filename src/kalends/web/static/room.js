// One room's page: fetches itself again when its room changed, and now and then for the ages; forms are left alone.
(function () {
  "use strict";
  const verdict = document.getElementById("verdict"), mine = 'id="room-' + verdict.dataset.room + '"';
  const parts = ["verdict", "agenda", "facts"];
  let mark = verdict.dataset.mark, source = null, isBusy = false;

  async function renew() {
    if (isBusy) return;
    isBusy = true;
    try {
      const answer = await fetch(location.pathname, { cache: "no-store" });
      if (!answer.ok || answer.redirected) { location.reload(); return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      parts.forEach((id) => {
        const now = document.getElementById(id), then = fresh.getElementById(id);
        if (now && then) now.replaceWith(then);
      });
    } catch {
      // The server is away; the next round finds it again.
    } finally {
      isBusy = false;
    }
  }

  function listen() {
    source = new EventSource("/live?after=" + encodeURIComponent(mark));
    source.onmessage = (m) => { mark = m.lastEventId || mark; if (m.data.includes(mine)) renew(); };
    source.onerror = () => { source.close(); setTimeout(listen, 5000 + Math.random() * 5000); };
  }

  setInterval(renew, 15000);
  listen();
})();
