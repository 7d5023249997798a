// What the pages do beyond what they do without it: buttons that copy, and a list of builds that follows.
"use strict";

const AGAIN = 5000;

function button(text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "quiet";
  made.textContent = text;
  made.addEventListener("click", () => act(made));
  return made;
}

function copies(place) {
  const source = document.getElementById(place.dataset.copy);
  const made = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      made.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      made.textContent = "Selected";
    }
  });
  made.setAttribute("aria-label", "Copy: " + place.dataset.what);
  place.append(made);
}

// Hears of builds as they are made, and then asks for the list anew. What is worked on is told of, too. A page that
// nobody sees hears nothing: a browser keeps few connections to one server.
function follows(timeline) {
  const news = document.getElementById("news");
  const work = document.getElementById("work");
  let paused = false;
  let source;
  let timer;
  let asking = false;
  let again = false;

  function listen() {
    clearTimeout(timer);
    if (source || paused || document.hidden) return;
    source = new EventSource(timeline.dataset.events + "?after=" + timeline.dataset.seen);
    for (const event of ["build", "ready"]) source.addEventListener(event, look);
    source.addEventListener("running", (event) => tell(JSON.parse(event.data).running));
    source.addEventListener("open", () => {
      if (news.dataset.trouble) say("");
    });
    source.addEventListener("error", () => {
      say("The server cannot be reached. Trying again.", true);
      // It comes again by itself, unless it was refused: then the question says why.
      if (source && source.readyState === EventSource.CLOSED) {
        leave();
        timer = setTimeout(() => look().then(listen), AGAIN);
      }
    });
  }

  function leave() {
    clearTimeout(timer);
    if (source) source.close();
    source = undefined;
    tell([]);
  }

  function say(text, trouble) {
    news.textContent = text;
    if (trouble) news.dataset.trouble = "yes";
    else delete news.dataset.trouble;
  }

  function tell(running) {
    const one = (build) => (build.name || "a flow") + " (" + build.stage + ")";
    work.textContent = running.length === 0 ? "" : "In work: " + running.map(one).join(", ");
  }

  // Many builds at a time are one question: what comes while it is open is asked for once more.
  async function look() {
    again = true;
    if (asking) return;
    asking = true;
    try {
      while (again) {
        again = false;
        const answer = await fetch(timeline.dataset.news + "?seen=" + timeline.dataset.seen, { redirect: "error" });
        if (answer.status === 401 || answer.status === 404) location.reload();
        if (answer.status === 200) show(await answer.text());
      }
    } catch {
      say("The server cannot be reached. Trying again.", true);
    } finally {
      asking = false;
    }
  }

  function show(html) {
    const read = new DOMParser().parseFromString(html, "text/html").getElementById("timeline");
    if (!read) return;
    const count = Number(read.dataset.seen) - Number(timeline.dataset.seen);
    const link = timeline.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    timeline.replaceChildren(...read.childNodes);
    timeline.dataset.seen = read.dataset.seen;
    say(count === 1 ? "1 new build." : count + " new builds.");
    const same = [...timeline.querySelectorAll("a")].find((one) => one.getAttribute("href") === link);
    if (same) same.focus({ preventScroll: true });
  }

  document.getElementById("live").append(
    button("Pause updates", (made) => {
      paused = !paused;
      made.textContent = paused ? "Resume updates" : "Pause updates";
      if (paused) leave();
      else listen();
      say(paused ? "Updates are paused." : "");
    }),
  );
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
  addEventListener("pagehide", leave);
  addEventListener("pageshow", listen);
  listen();
}

document.querySelectorAll("[data-copy]").forEach(copies);
document.querySelectorAll("#timeline[data-live]").forEach(follows);
