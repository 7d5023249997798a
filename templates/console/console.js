// What the pages do beyond what they do without it: buttons that copy, and a list of builds that follows.
"use strict";

const EVERY = 2000;

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

// Asks whether there are more builds than the page shows; the answer is the list anew, or 204.
function follows(timeline) {
  const news = document.getElementById("news");
  let paused = false;
  let timer;

  async function look() {
    if (!paused && !document.hidden) {
      try {
        const answer = await fetch(timeline.dataset.news + "?seen=" + timeline.dataset.seen, { redirect: "error" });
        if (answer.status === 401 || answer.status === 404) {
          location.reload();
          return;
        }
        if (answer.status === 200) show(await answer.text());
      } catch {
        news.textContent = "The server cannot be reached. Trying again.";
      }
    }
    timer = setTimeout(look, EVERY);
  }

  function show(html) {
    const read = new DOMParser().parseFromString(html, "text/html").getElementById("timeline");
    if (!read) return;
    const count = Number(read.dataset.seen) - Number(timeline.dataset.seen);
    const link = timeline.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    timeline.replaceChildren(...read.childNodes);
    timeline.dataset.seen = read.dataset.seen;
    news.textContent = count === 1 ? "1 new build." : count + " new builds.";
    const again = [...timeline.querySelectorAll("a")].find((one) => one.getAttribute("href") === link);
    if (again) again.focus({ preventScroll: true });
  }

  document.getElementById("live").append(
    button("Pause updates", (made) => {
      paused = !paused;
      made.textContent = paused ? "Resume updates" : "Pause updates";
      news.textContent = paused ? "Updates are paused." : "";
    }),
  );
  timer = setTimeout(look, EVERY);
  addEventListener("pagehide", () => clearTimeout(timer));
}

document.querySelectorAll("[data-copy]").forEach(copies);
document.querySelectorAll("#timeline[data-live]").forEach(follows);
