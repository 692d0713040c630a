// A deck of slides (tools/slides.py). Keys: arrows, Page Up and Down, Space, Home, End; n shows the
// speaker's notes, d turns the deck dark, f fills the screen. A click on the right half goes on.
"use strict";

(async function () {
  const deck = document.querySelector(".df-deck");
  const slides = [...deck.querySelectorAll(".df-slide")];
  const LARGEST = 32, STEP = 2, SIZES = [26, 24, 22, 20]; // px of the text
  const ROOMS = [430, 380, 330, 290, 250, 210, 180, 150]; // px of a figure

  // Text first gets smaller, then figures, until the slide holds what it shows and all that its folds
  // and guesses hold.
  function fit(slide) {
    const folds = [...slide.querySelectorAll("details")].map((e) => [e, e.open, e.hidden]);
    folds.forEach(([e]) => { e.open = true; e.hidden = false; });
    settle(slide);
    folds.forEach(([e, open, hidden]) => { e.open = open; e.hidden = hidden; });
  }

  function settle(slide) {
    const body = slide.querySelector(".df-body"), inside = slide.querySelector(".df-fit");
    const numbered = [...inside.querySelectorAll("div.math:has(.eqno)")];
    const side = (e, name, end) => e.querySelector(name).getBoundingClientRect()[end];
    const touches = (e) => !e.querySelector(".eqno").hidden
      && side(e, ".eqno", "left") - side(e, "mjx-math, mjx-container > svg", "right") < 6;
    const touching = () => numbered.some(touches);
    const full = () => inside.offsetHeight > body.clientHeight || inside.scrollWidth > body.clientWidth || touching();
    const set = (size, room) => {
      body.style.setProperty("--size", `${size}px`);
      body.style.setProperty("--room", `${room}px`);
      return !full();
    };
    const fits = () => ROOMS.some((room) => SIZES.some((size) => set(size, room)));
    for (let size = LARGEST; size >= SIZES[0]; size -= STEP) if (set(size, ROOMS[0])) return;
    if (fits()) return;
    const crowded = numbered.filter(touches);
    crowded.forEach((e) => { e.querySelector(".eqno").hidden = true; }); // no room for it
    if (crowded.length) fits();
  }

  let now = 0;
  function show(i) {
    now = Math.min(Math.max(i, 0), slides.length - 1);
    slides.forEach((s, k) => { s.classList.toggle("df-now", k === now); s.inert = k !== now; });
    history.replaceState(null, "", `#${now + 1}`);
    deck.setAttribute("aria-live", "polite");
  }

  function scale() {
    const tall = deck.classList.contains("df-speaks") ? 960 : 720;
    const k = Math.min(innerWidth / 1280, innerHeight / tall);
    deck.style.setProperty("--scale", k);
    deck.style.setProperty("--left", `${(innerWidth - 1280 * k) / 2}px`);
    deck.style.setProperty("--top", `${Math.max(0, (innerHeight - tall * k) / 2)}px`);
  }

  const busy = (e) => e.target.closest?.("input, button, summary, a, textarea, select");
  const moves = {
    ArrowRight: () => now + 1, PageDown: () => now + 1, " ": () => now + 1,
    ArrowLeft: () => now - 1, PageUp: () => now - 1,
    Home: () => 0, End: () => slides.length - 1,
  };
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key in moves && (!busy(e) || e.key.startsWith("Page"))) {
      e.preventDefault();
      show(moves[e.key]());
    } else if (e.key === "Escape") document.activeElement.blur();
    else if (e.key === "n") { deck.classList.toggle("df-speaks"); scale(); }
    else if (e.key === "d") {
      const root = document.documentElement;
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    } else if (e.key === "f") document.fullscreenElement ? document.exitFullscreen() : document.body.requestFullscreen();
  });
  deck.addEventListener("click", (e) => {
    if (busy(e) || e.target.closest(".df-explorer, .df-check, .df-notes") || String(getSelection())) return;
    show(now + (e.clientX > innerWidth / 2 ? 1 : -1));
  });
  addEventListener("resize", scale);
  addEventListener("hashchange", () => show(Number(location.hash.slice(1)) - 1));

  deck.classList.add("awake");
  scale();
  show((Number(location.hash.slice(1)) || 1) - 1);
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  slides.forEach(fit);
  deck.dataset.awake = "true";
})();
