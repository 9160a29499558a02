// Keeps a task's page up to date: whenever something happens to the task the page is asked for again, as it is for readers
// without JavaScript, and its changing part is put in the place of the old one.
"use strict";
(() => {
  const part = () => document.getElementById("live");
  const announce = document.getElementById("announce");
  let source = null;
  let timer = 0;
  let asking = false;
  let again = false;

  const stop = () => {
    if (source) source.close();
    source = null;
    clearInterval(timer);
  };

  const replace = (fresh) => {
    const old = part();
    const open = [...old.querySelectorAll("details[open][id]")].map((one) => one.id);
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const before = old.dataset.state;
    old.replaceWith(fresh);
    for (const id of open) {
      const one = document.getElementById(id);
      if (one) one.open = true;
    }
    const focus = focused && document.getElementById(focused);
    if (focus) focus.focus({ preventScroll: true });
    if (fresh.dataset.state !== before) announce.textContent = "Now: " + fresh.dataset.state;
    if (!fresh.dataset.events) stop();
  };

  const look = async () => {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      do {
        again = false;
        const answer = await fetch(location.pathname, { credentials: "same-origin", redirect: "error" });
        if (!answer.ok) {
          // Whoever may not look any more is not to ask again; a server that is busy or being started may answer later.
          if ([401, 403, 404].includes(answer.status)) stop();
          return;
        }
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById("live");
        // What a hand is on is not taken away; the next look brings what this one would have.
        if (fresh && part().innerHTML !== fresh.innerHTML && getSelection().isCollapsed) replace(document.adoptNode(fresh));
        // A browser gives a stream up for good where it was answered with an error.
        if (source && source.readyState === EventSource.CLOSED) follow();
      } while (again);
    } catch {
      // The server is away, or nobody is logged in any more: what is shown stays.
    } finally {
      asking = false;
    }
  };

  const follow = () => {
    source = new EventSource(part().dataset.events);
    for (const name of ["submitted", "leased", "progress", "lease_expired", "released", "attempt_failed", "verified", "ended", "cancel_asked", "retried", "outcome"]) {
      source.addEventListener(name, look);
    }
  };

  if (!part() || !part().dataset.events) return;
  follow();
  // Lines of the journal come without an event.
  timer = setInterval(() => {
    if (!document.hidden) look();
  }, 10000);
})();
