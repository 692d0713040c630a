// The face of an explorer on a page without a kernel (dunfold_lib/explore.py writes the HTML).
// Each <figure class="df-explorer"> carries its data as JSON. Either every state was computed when
// the book was built ("frames"), or a function in `scripts` computes the lines here ("script");
// tests/browser compares such a function with its Python twin, number by number.
"use strict";

(function () {
  // ------------------------------------------------------------------ a small lasso, any size
  const dot = (a, b) => a.reduce((s, v, i) => s + v * b[i], 0);
  const times = (A, x) => A.map((row) => dot(row, x));
  const back = (A, r) => A[0].map((_, j) => A.reduce((s, row, i) => s + row[j] * r[i], 0));
  const soft = (v, t) => Math.sign(v) * Math.max(Math.abs(v) - t, 0);

  function objective(A, b, lam, x) {
    const r = times(A, x).map((v, i) => v - b[i]);
    return 0.5 * dot(r, r) + lam * x.reduce((s, v) => s + Math.abs(v), 0);
  }

  function istaStep(A, b, lam, L, x) {
    const g = back(A, times(A, x).map((v, i) => v - b[i]));
    return x.map((v, j) => soft(v - g[j] / L, lam / L));
  }

  // ISTA with momentum: step k starts from x + beta_k (x - previous x). Stops where it overflows.
  function extrapolated(A, b, lam, betas, L, start) {
    const xs = [start, start];
    for (const beta of betas) {
      const [p, x] = xs.slice(-2);
      const y = x.map((v, j) => v + beta * (v - p[j]));
      xs.push(istaStep(A, b, lam, L, y));
    }
    return xs.slice(1);
  }

  function nesterov(K) {
    const t = [1];
    for (let k = 0; k < K; k++) t.push((1 + Math.sqrt(1 + 4 * t[k] * t[k])) / 2);
    return [0, ...t.slice(0, K - 1).map((v, k) => (v - 1) / t[k + 1])].slice(0, K);
  }

  const short = (v) => v.toExponential(1).replace(/e([+-])(\d)$/, "e$10$2"); // as Python writes it

  const betasFor = (momentum, K) =>
    momentum === "FISTA" ? nesterov(K) : Array(K).fill(momentum === "none" ? 0 : Number(momentum));

  const scripts = {
    // dunfold_lib/sparse/figures_ista.py, soft_playground
    softPlayground({ lam, v }, { p }) {
      const best = soft(v, lam) + 0; // no -0
      const value = (q) => 0.5 * (q - v) ** 2 + lam * Math.abs(q);
      return {
        lines: [
          [[p, p.map((q) => 0.5 * (q - v) ** 2)], [p, p.map(value)], [[best], [value(best)]]],
          [[p, p.map((q) => soft(q, lam))], [[v], [best]]],
        ],
        note: `v = ${v}, λ = ${lam}: soft(v, λ) = ${Number(best.toPrecision(2))}`,
      };
    },

    // dunfold_lib/sparse/figures_ista.py, lasso_plane
    lassoPlane(values, problem) {
      const { A, b, start, L, K, settle } = problem;
      const { step, lam, momentum } = values;
      const best = extrapolated(A, b, lam, Array(settle).fill(0), L, start).pop();
      const xs = extrapolated(A, b, lam, betasFor(momentum, K), L / step, start);
      const low = objective(A, b, lam, best);
      const gap = xs.map((x) => objective(A, b, lam, x) - low);
      const d2 = start.reduce((s, v, j) => s + (v - best[j]) ** 2, 0);
      const ks = xs.map((_, k) => k);
      const t = step / L;
      const longer = (Math.max(t * L - 1, 0) / (2 - t * L)) * gap[0];
      const bound = ks.slice(1).map((k) =>
        momentum === "none" && step < 2 ? (d2 / (2 * t) + longer) / k
          : momentum === "FISTA" && step <= 1 ? (2 * d2) / (t * (k + 1) ** 2)
            : 1e30); // none is proven: far above the axis
      const size = best.reduce((s, v) => s + Math.abs(v), 0);
      const end = gap[K];
      return {
        lines: [
          [
            [[size, 0, -size, 0, size], [0, size, 0, -size, 0]],
            [xs.map((x) => x[0]), xs.map((x) => x[1])],
            [[best[0]], [best[1]]],
          ],
          [
            [ks.slice(1), bound],
            [ks, gap.map((v) => Math.max(v, 1e-16))],
          ],
        ],
        note: Number.isFinite(end) && end <= gap[0] * 10
          ? `after ${K} steps: F − F* = ${end <= 1e-12 ? "below 1e-12" : short(end)}`
          : `after ${K} steps: diverged`,
      };
    },
  };

  // ------------------------------------------------------------------ data to the axes
  function placer(panel) {
    const [left, right, bottom, top] = panel.box;
    const axis = (lim, log, a, b) => {
      const f = log ? (v) => Math.log10(Math.max(v, 1e-300)) : (v) => v;
      const [lo, hi] = lim.map(f);
      return (v) => a + ((f(v) - lo) / (hi - lo)) * (b - a);
    };
    return [axis(panel.xlim, panel.logx, left, right), axis(panel.ylim, panel.logy, bottom, top)];
  }

  // An SVG path; a point that is not finite breaks the line, one far outside is brought near.
  function pathData([xs, ys], [px, py], dots) {
    let pen = false, d = "";
    xs.forEach((x, i) => {
      const y = ys[i];
      if (x === null || y === null || !Number.isFinite(x) || !Number.isFinite(y)) { pen = false; return; }
      const near = (v) => Math.min(Math.max(v, -5000), 5000).toFixed(2);
      const at = `${near(px(x))} ${near(py(y))}`;
      d += dots ? `M${at}h0` : `${pen ? "L" : "M"}${at}`;
      pen = true;
    });
    return d;
  }

  // matplotlib drew line i as a group that holds its path and, for dots, one marker a point. The
  // group is emptied once; afterwards a path (and a path of round dots) stands in for it.
  function takeOver(group, style) {
    const old = group.querySelector("path[clip-path], g[clip-path]") || group.querySelector("path");
    const look = (old.matches("path") ? old : old.querySelector("use") || old).getAttribute("style") || "";
    const colour = (/stroke:\s*([^;]+)/.exec(look) || [0, "currentColor"])[1];
    const clip = old.getAttribute("clip-path");
    const make = (width, round) => {
      const p = document.createElementNS("http://www.w3.org/2000/svg", "path");
      p.setAttribute("style", `fill:none;stroke:${colour};stroke-width:${width};` +
        (round ? "stroke-linecap:round" : "stroke-linejoin:round"));
      if (clip) p.setAttribute("clip-path", clip);
      return p;
    };
    const parts = [];
    if (style !== "dots") {
      const p = make(style === "path" ? 1.2 : 1.8, false);
      if (style === "dashed") p.style.strokeDasharray = "6.66 2.88";
      parts.push([p, false]);
    }
    if (style === "dots" || style === "path") parts.push([make(style === "dots" ? 7 : 4, true), true]);
    const kept = [...group.querySelectorAll("defs")]; // the legend draws with the same marker
    group.replaceChildren(...kept, ...parts.map(([p]) => p));
    return parts;
  }

  // A slider, or radio buttons: its inputs, the position it stands at, and how it says so.
  function control(box) {
    const range = box.querySelector('input[type="range"]');
    if (!range) {
      const inputs = [...box.querySelectorAll("input")];
      return { inputs, read: () => inputs.findIndex((r) => r.checked), tell: () => {} };
    }
    const tell = (text) => {
      box.querySelector("output").textContent = text;
      range.setAttribute("aria-valuetext", text);
    };
    return { inputs: [range], read: () => Number(range.value), tell };
  }

  function wake(root) {
    const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
    const controls = [...root.querySelectorAll(".df-control")].map(control);
    const note = root.querySelector(".df-note");
    const images = [...root.querySelectorAll(".df-image")];
    const drawings = [...root.querySelectorAll(".df-panel > svg")].map((svg, p) => {
      const { styles, fixed } = data.panels[p];
      const groups = styles.map((_, i) => svg.querySelector(`[id$="-line-${i}"]`)).slice(fixed);
      return { place: placer(data.panels[p]), lines: groups.map((g, i) => takeOver(g, styles[fixed + i])) };
    });
    const points = data.frames ? data.store.map((s) => (s[0] === "[" ? JSON.parse(s) : s)) : [];

    function state(index) {
      if (data.script) {
        const values = {};
        data.sliders.forEach((s, i) => { values[s.name] = data.values[s.name][index[i]]; });
        return scripts[data.script](values, data.problem);
      }
      const at = index.reduce((n, v, i) => n * data.sliders[i].texts.length + v, 0);
      const f = data.frames[at];
      return { ...f, lines: f.lines.map((panel) => panel.map((i) => points[i])), images: f.images.map((i) => points[i]) };
    }

    function draw() {
      const index = controls.map((c) => c.read());
      index.forEach((v, i) => controls[i].tell(data.sliders[i].texts[v]));
      const s = state(index);
      drawings.forEach(({ place, lines }, p) => lines.forEach((parts, i) =>
        parts.forEach(([path, dots]) => path.setAttribute("d", pathData(s.lines[p][i], place, dots)))));
      images.forEach((box, i) => {
        const img = box.querySelector("img"), caption = box.querySelector("span");
        img.src = s.images[i];
        img.alt = img.alt.replace(caption.textContent, s.captions[i]);
        caption.textContent = s.captions[i];
      });
      note.textContent = s.note;
    }

    controls.flatMap((c) => c.inputs)
      .forEach((r) => { r.disabled = false; r.addEventListener("input", draw); });
    draw();
    root.dataset.awake = "true";
  }

  // ------------------------------------------------------------------ a guess before the answer
  // The first guess stands, here and at the next visit, until the reader takes it back. It is kept
  // in the reader's browser; where that is forbidden the page forgets it when it is left.
  const kept = {
    read(key) { try { return localStorage.getItem(key); } catch { return null; } },
    write(key, value) { try { localStorage.setItem(key, value); } catch { /* forbidden */ } },
    forget(key) { try { localStorage.removeItem(key); } catch { /* forbidden */ } },
  };

  function ask(root) {
    const key = `dunfold-guess-${root.dataset.key}`;
    const buttons = [...root.querySelectorAll(".df-choices button")];
    const verdict = root.querySelector(".df-verdict"), answer = root.querySelector("details");
    const again = document.createElement("button");
    again.type = "button";
    again.textContent = "Guess again";
    again.className = "df-again";
    root.append(again);

    function show(taken) {
      const found = buttons.find((b) => b.textContent === taken);
      buttons.forEach((b) => {
        b.disabled = Boolean(found);
        b.setAttribute("aria-pressed", String(b === found));
      });
      verdict.textContent = found
        ? `You guessed “${taken}”. ${found.dataset.right === "1" ? "Right." : "No."}` : "";
      answer.open = Boolean(found);
      answer.hidden = again.hidden = !found;
    }

    buttons.forEach((b) => b.addEventListener("click", () => {
      kept.write(key, b.textContent);
      show(b.textContent);
      again.focus({ preventScroll: true });
    }));
    again.addEventListener("click", () => {
      kept.forget(key);
      show(null);
      buttons[0].focus({ preventScroll: true });
    });
    show(kept.read(key));
    root.dataset.awake = "true";
  }

  // ------------------------------------------------------------------ a figure over the whole window
  // A click on a picture enlarges its figure, sliders and all; a button does so for keys.
  function enlarging(root) {
    const pictures = root.querySelectorAll(".df-panels :is(img, svg)");
    if (!root.showPopover || root.closest(".df-deck") || !pictures.length) return;
    const button = document.createElement("button"), place = document.createElement("div");
    button.type = "button";
    button.className = "df-enlarge";
    root.append(button);

    function told(large) {
      button.textContent = large ? "Close" : "Enlarge";
      button.setAttribute("aria-expanded", String(large));
    }

    const leave = (e) => { if (e.key === "Escape" && root.matches(":popover-open")) root.hidePopover(); };

    function open() {
      place.style.height = `${root.offsetHeight}px`; // so that the text below does not jump
      root.before(place);
      root.popover = "auto";
      root.showPopover();
      document.addEventListener("keydown", leave);
      told(true);
    }

    root.addEventListener("toggle", (e) => {
      if (e.target !== root || e.newState !== "closed") return;
      document.removeEventListener("keydown", leave);
      root.removeAttribute("popover");
      place.remove();
      told(false);
    });
    const turn = () => { if (root.matches(":popover-open")) root.hidePopover(); else open(); };
    button.addEventListener("click", turn);
    pictures.forEach((picture) => picture.addEventListener("click", turn));
    told(false);
  }

  // ------------------------------------------------------------------ what scrolls sideways
  // Keys reach it, as they reach the theme's own; a table that fits is no stop for them.
  const widths = new ResizeObserver((seen) => seen.forEach(({ target }) => {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }));

  // ------------------------------------------------------------------ formulas on a phone
  // One that is wider than its place is set smaller, down to four fifths; what is still wider scrolls.
  const SMALLEST = 0.8;
  function narrowed(formulas) {
    const place = (e) => (e.hasAttribute("display") ? e : e.parentElement);
    formulas.forEach((e) => { e.style.removeProperty("zoom"); place(e).classList.remove("df-wide"); });
    if (innerWidth > 600) return;
    const wide = (e) => e.querySelector("mjx-math").getBoundingClientRect().width;
    const shares = formulas.map((e) => (place(e).clientWidth + 1) / wide(e));
    formulas.forEach((e, i) => {
      if (shares[i] < 1) e.style.zoom = Math.max(shares[i] * 0.98, SMALLEST);
      if (shares[i] < SMALLEST) place(e).classList.add("df-wide");
    });
  }

  async function narrow() {
    await window.MathJax?.startup?.promise;
    const formulas = [...document.querySelectorAll(".bd-article mjx-container")];
    let width = 0;
    const seen = () => { if (width !== innerWidth) { width = innerWidth; narrowed(formulas); } };
    addEventListener("resize", seen);
    document.addEventListener("toggle", ({ target }) => {
      if (target.matches("details[open]")) narrowed([...target.querySelectorAll("mjx-container")]);
    }, true);
    seen();
  }

  window.dunfold = { scripts, wake };
  const start = () => {
    document.querySelectorAll(".df-explorer").forEach(wake);
    document.querySelectorAll(".df-guess").forEach(ask);
    document.querySelectorAll(".df-figure").forEach(enlarging);
    document.querySelectorAll(".df-table, .df-twins, .df-panel").forEach((e) => widths.observe(e));
    narrow();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
