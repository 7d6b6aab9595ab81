"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// --- charts: plotly comes compressed

async function load(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function themed(axis) {
  return { ...axis, gridcolor: color("--line"), linecolor: color("--line"), zeroline: false, tickcolor: color("--line"), automargin: true,
    exponentformat: "power", showexponent: "all", tickfont: { size: (axis || {}).type === "log" ? 10 : 12 }, title: { ...(axis || {}).title, standoff: 8 } };
}

function layout(given) {
  return {
    ...given, xaxis: themed(given.xaxis), yaxis: themed(given.yaxis), margin: { l: 56, r: 12, t: 10, b: 44 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "inherit", size: 12, color: color("--ink") },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11.5 } },
    hoverlabel: { bgcolor: color("--paper"), bordercolor: color("--line"), font: { color: color("--ink") } },
  };
}

const config = { responsive: true, displayModeBar: false };
const drawn = []; // [element, the layout that was given]

function draw(element, curves, given) {
  drawn.push([element, given]);
  return Plotly.newPlot(element, curves, layout(given), config);
}

function toggles(button, change) {
  button.addEventListener("click", () => {
    const log = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", log);
    for (const [element, given] of drawn) if (change(element, given, log)) Plotly.relayout(element, layout(given));
  });
}

const plots = (selector) => [...document.querySelectorAll(`${selector} .drawing`)];

async function drawCharts() {
  await load("plotly");
  const curves = plots("#curves"), profiles = plots("#fields");
  for (const [k, element] of curves.entries()) {
    const { figure, log } = data.charts[k];
    await draw(element, figure.data, { ...figure.layout, yaxis: { type: log ? "log" : "linear" } });
  }
  for (const [k, element] of profiles.entries()) {
    const { names, colors, range, unit } = data.profiles.charts[k];
    const lines = names.map((name, i) => ({ name, x: data.profiles.x, y: data.profiles.charts[k].values[0][i],
      line: { color: colors[i], width: 2 }, hovertemplate: `%{y:.5g} ${unit}` }));
    await draw(element, lines, { showlegend: names.length > 1, hovermode: "x unified", xaxis: { title: { text: data.profiles.label } },
      yaxis: { range: widened(range) } });
  }
  for (const element of [...curves, ...profiles]) {
    const button = element.parentElement.querySelector("button");
    if (!button) continue;
    const k = profiles.indexOf(element);
    toggles(button, (one, given, log) => {
      if (one !== element) return false;
      given.yaxis.type = log ? "log" : "linear";
      if (k >= 0) given.yaxis.range = widened(log ? data.profiles.charts[k].range.map(Math.log10) : data.profiles.charts[k].range);
      return true;
    });
  }
  const time = document.getElementById("log-time");
  if (time) {
    toggles(time, (one, given, log) => {
      given.xaxis.type = log && curves.includes(one) ? "log" : "linear";
      return curves.includes(one);
    });
  }
  const mesh = document.querySelector("#mesh .drawing");
  if (mesh) await draw(mesh, data.mesh.data, data.mesh.layout);
}

// profiles keep their range at all times
function widened([low, high]) {
  const margin = 0.04 * (high - low);
  return [low - margin, high + margin];
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [element, given] of drawn) Plotly.relayout(element, layout(given));
});

// --- frames

const slider = document.getElementById("frame");

function show(frame) {
  document.getElementById("time").innerHTML = data.times[frame];
  for (const [k, image] of document.querySelectorAll("#fields .picture").entries()) image.src = data.fields[k].pictures[frame];
  for (const [k, element] of plots("#fields").entries()) {
    if (element.data) Plotly.restyle(element, { y: data.profiles.charts[k].values[frame] });
  }
}

if (slider) {
  const play = document.getElementById("play");
  let timer = null;
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "▶"; };
  const step = () => {
    slider.value = Number(slider.value) + 1;
    show(Number(slider.value));
    if (slider.value === slider.max) stop();
  };
  slider.addEventListener("input", () => show(Number(slider.value)));
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = -1;
    play.textContent = "❚❚";
    timer = setInterval(step, 180);
  });
}

// --- texts to copy

for (const button of document.querySelectorAll(".copied button")) {
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("pre");
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch { // not allowed to a page from a file by every browser
      getSelection().selectAllChildren(text);
      document.execCommand("copy");
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}

drawCharts().then(
  () => { if (slider) show(Number(slider.value)); },
  () => { for (const plot of plots("body")) plot.textContent = "This browser is too old for the curves: see history.csv."; },
).finally(() => { document.body.dataset.ready = "yes"; });
