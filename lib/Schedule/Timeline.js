// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Draws the schedules that the page holds as JSON; Html.cpp says what is in it.
"use strict";

const data = JSON.parse(document.getElementById("schedules").textContent);

// What is seen of each step, as parts of its extent: 0 is its start, 1 its end.
const view = { from: 0, to: 1 };
const settings = { axis: "common", layout: "below", memory: "one" };
const longest = Math.max(...data.schedules.map((s) => s.makespan)) || 1;
const mostMemory = Math.max(1e-300, ...data.schedules.flatMap((s) => [
  ...s.peaks,
  // A limit far above what is needed would flatten the curves.
  ...s.limits.filter((limit) => limit <= 1.5 * Math.max(...s.peaks)),
]));

const LEFT = 64, RIGHT = 68, AXIS = 32;
const SMALLEST_VIEW = 1e-6;

function format(value, digits = 7) {
  return String(Number(value.toPrecision(digits)));
}
function withUnit(value, unit) {
  return unit ? format(value) + " " + unit : format(value);
}

// The first index for which `isTrue` holds, of `count`; `count` if for none.
function firstIndex(count, isTrue) {
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isTrue(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

// Passes of a device lie flat in an array: kind, stage, microbatch, start,
// duration of each. Memory likewise: time, memory from then on.
const FIELDS = 5;
function passAt(flat, index) {
  const at = index * FIELDS;
  return {
    index, kind: flat[at], stage: flat[at + 1], microbatch: flat[at + 2],
    start: flat[at + 3], end: flat[at + 3] + flat[at + 4],
  };
}
function memoryAt(samples, time) {
  const count = samples.length / 2;
  const after = firstIndex(count, (i) => samples[2 * i] > time);
  return after ? samples[2 * after - 1] : 0;
}
function largestMemory(samples, from, to) {
  const count = samples.length / 2;
  let largest = memoryAt(samples, from);
  for (let i = firstIndex(count, (i) => samples[2 * i] >= from);
       i < count && samples[2 * i] < to; ++i)
    largest = Math.max(largest, samples[2 * i + 1]);
  return largest;
}

// The colours of passes that are narrower than a pixel, mixed by the part of it
// that each of them takes.
class Blend {
  constructor(width) {
    this.sums = new Float32Array(4 * width);
    this.isEmpty = true;
  }
  add(from, to, color) {
    const last = this.sums.length / 4 - 1;
    for (let i = Math.max(0, Math.floor(from)); i <= Math.min(last, Math.floor(to)); ++i) {
      const part = Math.max(0.02, Math.min(to, i + 1) - Math.max(from, i));
      for (let channel = 0; channel < 3; ++channel)
        this.sums[4 * i + channel] += part * parseInt(color.substr(1 + 2 * channel, 2), 16);
      this.sums[4 * i + 3] += part;
      this.isEmpty = false;
    }
  }
  draw(c, top, height) {
    for (let i = 0; !this.isEmpty && 4 * i < this.sums.length; ++i) {
      const part = this.sums[4 * i + 3];
      if (part === 0) continue;
      const [red, green, blue] = this.sums.subarray(4 * i, 4 * i + 3).map((sum) => sum / part);
      c.globalAlpha = Math.min(1, part);
      c.fillStyle = `rgb(${red | 0},${green | 0},${blue | 0})`;
      c.fillRect(LEFT + i, top, 1, height);
    }
    c.globalAlpha = 1;
  }
}

function kindName(kind) {
  return data.kinds[kind].name;
}
function passName(pass) {
  return data.kinds[pass.kind].short + " s" + pass.stage +
    (pass.microbatch < 0 ? "" : " mb " + pass.microbatch);
}

// A panel is the picture of one schedule.
class Panel {
  constructor(schedule) {
    this.schedule = schedule;
    this.isShown = true;
    this.pointer = null; // time and device under the pointer
    this.memoryDevice = schedule.peaks.indexOf(Math.max(...schedule.peaks));
    this.section = document.createElement("section");
    const heading = document.createElement("h1");
    heading.textContent = schedule.name;
    const caption = document.createElement("p");
    caption.textContent = schedule.caption;
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.section.append(heading, caption, this.canvas);
    this.rowHeight = Math.max(5, Math.min(24, Math.floor(480 / schedule.devices)));
    this.gap = this.rowHeight > 10 ? 3 : 1;
    // Where each pass is, to find what it reads and what reads it.
    this.places = new Map();
    schedule.passes.forEach((flat, device) => {
      for (let i = 0; i * FIELDS < flat.length; ++i)
        this.places.set(this.key(flat[i * FIELDS], flat[i * FIELDS + 1],
                                 flat[i * FIELDS + 2]), [device, i]);
    });
  }

  key(kind, stage, microbatch) {
    const { stages, microbatches } = this.schedule;
    return (kind * stages + stage) * (microbatches + 1) + microbatch + 1;
  }
  find(kinds, stage, microbatch) {
    for (const short of kinds) {
      const kind = data.kinds.findIndex((k) => k.short === short);
      const place = stage >= 0 && stage < this.schedule.stages &&
        this.places.get(this.key(kind, stage, microbatch));
      if (place)
        return { device: place[0], ...passAt(this.schedule.passes[place[0]], place[1]) };
    }
    return null;
  }
  // The passes whose end `pass` waits for, apart from the one before it.
  inputs(pass) {
    const { stage, microbatch } = pass;
    const gradient = this.find(["B", "BW"], stage + 1, microbatch);
    switch (data.kinds[pass.kind].short) {
      case "F": return [this.find(["F"], stage - 1, microbatch)];
      case "R": return [this.find(["F"], stage, microbatch)];
      case "B": case "BW":
        return [this.find(["R", "F"], stage, microbatch), gradient];
      case "W":
        return [this.find(["B"], stage, microbatch) || gradient];
      default: return [];
    }
  }

  extent() {
    return settings.axis === "own" ? this.schedule.makespan || 1 : longest;
  }
  x(time) {
    return LEFT + (time / this.extent() - view.from) / (view.to - view.from) * this.width;
  }
  timeAt(x) {
    return ((x - LEFT) / this.width * (view.to - view.from) + view.from) * this.extent();
  }
  rowTop(device) {
    return AXIS + device * (this.rowHeight + this.gap);
  }
  memoryRows() {
    if (settings.memory === "none") return [];
    if (settings.memory === "one") return [this.memoryDevice];
    return this.schedule.passes.map((_, device) => device);
  }
  memoryHeight() {
    return settings.memory === "one" ? 90 : Math.max(14, this.rowHeight);
  }

  resize() {
    const rows = this.memoryRows().length;
    this.memoryTop = this.rowTop(this.schedule.devices) + 16;
    this.height = this.memoryTop + rows * (this.memoryHeight() + 4);
    const ratio = window.devicePixelRatio || 1;
    const full = Math.max(LEFT + RIGHT + 50, this.section.clientWidth);
    this.width = full - LEFT - RIGHT;
    this.canvas.style.height = this.height + "px";
    this.canvas.width = Math.round(full * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context = this.canvas.getContext("2d");
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  draw() {
    if (!this.isShown) return;
    const c = this.context;
    c.clearRect(0, 0, LEFT + this.width + RIGHT, this.height);
    c.font = "11px Helvetica, Arial, sans-serif";
    c.textBaseline = "middle";
    this.drawAxis(c);
    this.drawLabels(c);
    c.save();
    c.beginPath();
    c.rect(LEFT, 0, this.width, this.height);
    c.clip();
    this.drawBound(c);
    for (let device = 0; device < this.schedule.devices; ++device) {
      this.drawPasses(c, device);
      this.drawReductions(c, device);
    }
    this.memoryRows().forEach((device, row) => this.drawMemory(c, device, row));
    this.drawPointer(c);
    c.restore();
  }

  drawAxis(c) {
    const visible = (view.to - view.from) * this.extent();
    const rough = visible * 90 / this.width;
    let step = Math.pow(10, Math.floor(Math.log10(rough)));
    step *= [1, 2, 5, 10].find((factor) => factor * step >= rough) || 10;
    c.textAlign = "center";
    const last = Math.min(this.timeAt(LEFT + this.width), this.extent() * (1 + 1e-9));
    for (let i = Math.ceil(this.timeAt(LEFT) / step - 1e-9); i * step <= last; ++i) {
      const x = this.x(i * step);
      c.fillStyle = "#e6e6ea";
      c.fillRect(Math.round(x), AXIS - 14, 1, this.height - AXIS + 14);
      c.fillStyle = "#555";
      c.fillText(format(i * step), x, 8);
    }
    c.textAlign = "left";
    c.fillText(this.schedule.timeUnit || "time", LEFT + this.width + 22, 8);
  }

  drawLabels(c) {
    const labelEvery = Math.ceil(11 / (this.rowHeight + this.gap));
    c.textAlign = "right";
    for (let device = 0; device < this.schedule.devices; ++device) {
      c.fillStyle = "#f5f5f7";
      c.fillRect(LEFT, this.rowTop(device), this.width, this.rowHeight);
      c.fillStyle = "#222";
      if (device % labelEvery === 0)
        c.fillText("device " + device, LEFT - 8, this.rowTop(device) + this.rowHeight / 2);
    }
    this.memoryRows().forEach((device, row) => {
      const height = this.memoryHeight(), top = this.memoryTop + row * (height + 4);
      c.fillStyle = "#222";
      c.textAlign = "right";
      if (settings.memory === "one") {
        c.fillText("memory", LEFT - 8, top + height / 2 - 7);
        c.fillText("device " + device, LEFT - 8, top + height / 2 + 7);
      } else if (row * (height + 4) % 11 < height + 4) {
        c.fillText("device " + device, LEFT - 8, top + height / 2);
      }
      c.textAlign = "left";
      const peak = format(this.schedule.peaks[device], 3);
      c.fillText((peak + " " + this.schedule.memoryUnit).trim(), LEFT + this.width + 6,
                 Math.max(top + 6, this.memoryY(this.schedule.peaks[device], row)));
    });
  }

  drawPasses(c, device) {
    const flat = this.schedule.passes[device];
    const count = flat.length / FIELDS;
    const from = this.timeAt(LEFT), to = this.timeAt(LEFT + this.width);
    const top = this.rowTop(device);
    const blend = new Blend(Math.ceil(this.width));
    c.textAlign = "center";
    for (let i = firstIndex(count, (i) => passAt(flat, i).end >= from); i < count; ++i) {
      const pass = passAt(flat, i);
      if (pass.start > to) break;
      const x = this.x(pass.start), end = this.x(pass.end);
      const shade = data.kinds[pass.kind].shades[this.schedule.chunks[pass.stage]];
      if (end - x < 1.5) {
        blend.add(x - LEFT, end - LEFT, shade.fill);
        continue;
      }
      const width = end - x - (end - x > 4 ? 0.7 : 0);
      c.fillStyle = shade.fill;
      c.fillRect(x, top, width, this.rowHeight);
      const text = pass.microbatch < 0 ? data.kinds[pass.kind].short : String(pass.microbatch);
      if (this.rowHeight >= 11 && width > 4 + 6.2 * text.length) {
        c.fillStyle = shade.text;
        c.fillText(text, x + width / 2, top + this.rowHeight / 2 + 0.5);
      }
    }
    blend.draw(c, top, this.rowHeight);
  }

  // Exchanges of gradients run beside the passes: at the bottom of the lane.
  drawReductions(c, device) {
    const flat = this.schedule.reductions[device];
    const height = Math.max(2, this.rowHeight / 4);
    c.fillStyle = data.reductionColor;
    for (let at = 0; at < flat.length; at += 3) {
      const x = this.x(flat[at + 1]), end = this.x(flat[at + 1] + flat[at + 2]);
      c.fillRect(x, this.rowTop(device) + this.rowHeight - height, Math.max(1, end - x), height);
    }
  }

  memoryY(memory, row) {
    const height = this.memoryHeight();
    return this.memoryTop + row * (height + 4) + height - memory / mostMemory * (height - 1);
  }

  drawMemory(c, device, row) {
    const samples = this.schedule.memory[device];
    const from = Math.max(0, this.timeAt(LEFT));
    const to = Math.min(this.schedule.makespan, this.timeAt(LEFT + this.width));
    const bottom = this.memoryY(0, row);
    c.beginPath();
    c.moveTo(this.x(from), bottom);
    c.lineTo(this.x(from), this.memoryY(memoryAt(samples, from), row));
    const count = samples.length / 2;
    let i = firstIndex(count, (i) => samples[2 * i] > from);
    let current = memoryAt(samples, from);
    while (i < count && samples[2 * i] < to) {
      // The largest of all that share a pixel.
      const x = this.x(samples[2 * i]);
      let largest = samples[2 * i + 1];
      let last = largest;
      for (++i; i < count && this.x(samples[2 * i]) < x + 0.5; ++i) {
        last = samples[2 * i + 1];
        largest = Math.max(largest, last);
      }
      c.lineTo(x, this.memoryY(current, row));
      c.lineTo(x, this.memoryY(largest, row));
      c.lineTo(x, this.memoryY(last, row));
      current = last;
    }
    c.lineTo(this.x(to), this.memoryY(current, row));
    c.lineTo(this.x(to), bottom);
    c.closePath();
    c.fillStyle = "#c9d1de";
    c.fill();
    c.strokeStyle = "#5b6b8c";
    c.lineWidth = 1;
    c.stroke();
    const limit = this.schedule.limits[device];
    if (limit !== undefined && limit <= mostMemory) {
      c.strokeStyle = "#b00";
      c.setLineDash([5, 3]);
      c.beginPath();
      c.moveTo(LEFT, this.memoryY(limit, row));
      c.lineTo(LEFT + this.width, this.memoryY(limit, row));
      c.stroke();
      c.setLineDash([]);
    }
  }

  drawBound(c) {
    const x = Math.round(this.x(this.schedule.bound)) + 0.5;
    c.fillStyle = c.strokeStyle = "#222";
    c.textAlign = "right";
    c.fillText("bound", x - 4, AXIS - 7);
    c.lineWidth = 1;
    c.setLineDash([2, 3]);
    c.beginPath();
    c.moveTo(x, AXIS - 14);
    c.lineTo(x, this.rowTop(this.schedule.devices));
    c.stroke();
    c.setLineDash([]);
  }

  outline(c, device, pass, color) {
    const x = this.x(pass.start);
    c.strokeStyle = color;
    c.lineWidth = 1.5;
    c.strokeRect(x, this.rowTop(device), Math.max(1.5, this.x(pass.end) - x), this.rowHeight);
  }

  // A line at the time of the pointer, in every panel; in the panel under it
  // the passes of the microbatch, and arrows to the pass from what it reads.
  drawPointer(c) {
    if (pointerPart !== null) {
      const x = this.x(pointerPart * this.extent());
      c.fillStyle = "#0007";
      c.fillRect(x, AXIS - 14, 1, this.height - AXIS + 14);
    }
    if (!this.pointer || !this.pointer.pass) return;
    const { device, pass } = this.pointer;
    this.schedule.passes.forEach((flat, other) => {
      for (let i = 0; i * FIELDS < flat.length; ++i)
        if (flat[i * FIELDS + 2] === pass.microbatch && pass.microbatch >= 0)
          this.outline(c, other, passAt(flat, i), "#0009");
    });
    for (const input of this.inputs(pass)) {
      if (!input) continue;
      c.strokeStyle = "#b00";
      c.lineWidth = 1.5;
      c.beginPath();
      c.moveTo(this.x(input.end), this.rowTop(input.device) + this.rowHeight / 2);
      c.lineTo(this.x(pass.start), this.rowTop(device) + this.rowHeight / 2);
      c.stroke();
    }
    this.outline(c, device, pass, "#b00");
  }

  // What is at a place of the canvas: its time, the device whose lane or memory
  // it is in, the pass that runs there.
  hit(x, y) {
    if (x < LEFT || x > LEFT + this.width) return null;
    const time = this.timeAt(x);
    const device = Math.floor((y - AXIS) / (this.rowHeight + this.gap));
    if (device >= 0 && device < this.schedule.devices) {
      const flat = this.schedule.passes[device];
      const count = flat.length / FIELDS;
      const index = firstIndex(count, (i) => passAt(flat, i).end > time);
      const pass = index < count ? passAt(flat, index) : null;
      return { time, device, pass: pass && pass.start <= time ? pass : null };
    }
    const row = Math.floor((y - this.memoryTop) / (this.memoryHeight() + 4));
    const rows = this.memoryRows();
    return { time, device: row in rows ? rows[row] : null, pass: null };
  }

  // The text of the tip for what `hit` returned.
  describe({ time, device, pass }) {
    const { timeUnit, memoryUnit, memory, limits } = this.schedule;
    const lines = [];
    if (pass) {
      lines.push(passName(pass) + " (" + kindName(pass.kind) + ") on device " + device);
      lines.push("stage " + pass.stage +
        (pass.microbatch < 0 ? "" : ", microbatch " + pass.microbatch));
      lines.push("start " + withUnit(pass.start, timeUnit) + ", end " +
        withUnit(pass.end, timeUnit) + ", takes " + withUnit(pass.end - pass.start, timeUnit));
      lines.push("memory up to " +
        withUnit(largestMemory(memory[device], pass.start, pass.end), memoryUnit) + ", then " +
        withUnit(memoryAt(memory[device], pass.end), memoryUnit));
    } else {
      lines.push("time " + withUnit(time, timeUnit));
      if (device !== null)
        lines.push("device " + device + ", memory " +
          withUnit(memoryAt(memory[device], time), memoryUnit));
    }
    if (device !== null && limits[device] !== undefined)
      lines.push("limit " + withUnit(limits[device], memoryUnit));
    return lines.join("\n");
  }

  listen() {
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let drag = null;
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const [x] = place(event);
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))
        pan((event.deltaX || event.deltaY) / this.width);
      else
        zoom(Math.pow(1.0018, event.deltaY), (x - LEFT) / this.width);
    }, { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, moved: 0 };
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointerup", (event) => {
      // A click on a device shows its memory.
      if (drag && drag.moved < 4) {
        const hit = this.hit(...place(event));
        if (hit && hit.device !== null) {
          this.memoryDevice = hit.device;
          redraw();
        }
      }
      drag = null;
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (drag) {
        const distance = drag.x - event.clientX;
        drag.moved += Math.abs(distance);
        drag.x = event.clientX;
        pan(distance / this.width);
      }
      this.pointer = this.hit(...place(event));
      pointerPart = this.pointer ? this.pointer.time / this.extent() : null;
      if (this.pointer) showTip(this.describe(this.pointer), event);
      else hideTip();
      redraw();
    });
    this.canvas.addEventListener("pointerleave", () => {
      this.pointer = null;
      pointerPart = null;
      hideTip();
      redraw();
    });
    this.canvas.addEventListener("keydown", (event) => {
      const action = {
        "+": () => zoom(1 / 1.5, 0.5), "=": () => zoom(1 / 1.5, 0.5), "-": () => zoom(1.5, 0.5),
        "0": fit, ArrowLeft: () => pan(-0.1), ArrowRight: () => pan(0.1),
      }[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });
  }
}

const panels = data.schedules.map((schedule) => new Panel(schedule));
// Where the pointer is, as a part of the extent of the step.
let pointerPart = null;

const tip = document.getElementById("tip");
function showTip(text, event) {
  tip.textContent = text;
  tip.style.display = "block";
  const { offsetWidth, offsetHeight } = tip;
  const left = Math.min(event.clientX + 14, window.innerWidth - offsetWidth - 8);
  const below = event.clientY + 16;
  tip.style.left = Math.max(4, left) + "px";
  tip.style.top = (below + offsetHeight < window.innerHeight
    ? below : event.clientY - offsetHeight - 10) + "px";
}
function hideTip() {
  tip.style.display = "none";
}

let isDrawingDue = false;
function redraw() {
  if (isDrawingDue) return;
  isDrawingDue = true;
  window.requestAnimationFrame(() => {
    isDrawingDue = false;
    panels.forEach((panel) => panel.draw());
  });
}
function relayout() {
  document.getElementById("panels").className = settings.layout;
  panels.forEach((panel) => {
    panel.section.style.display = panel.isShown ? "" : "none";
  });
  panels.filter((panel) => panel.isShown).forEach((panel) => panel.resize());
  redraw();
}

// Keeps the view within the step.
function setView(from, size) {
  size = Math.min(1, Math.max(SMALLEST_VIEW, size));
  view.from = Math.min(1 - size, Math.max(0, from));
  view.to = view.from + size;
  redraw();
}
// `at` is the part of the picture that stays where it is.
function zoom(factor, at) {
  const size = view.to - view.from;
  const wanted = Math.min(1, Math.max(SMALLEST_VIEW, size * factor));
  setView(view.from + Math.min(1, Math.max(0, at)) * (size - wanted), wanted);
}
function pan(part) {
  const size = view.to - view.from;
  setView(view.from + part * size, size);
}
function fit() {
  setView(0, 1);
}

function writeLegend() {
  const write = (text, colors) => {
    const entry = document.createElement("span");
    entry.className = "legend";
    for (const color of colors) {
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = color;
      entry.append(swatch);
    }
    entry.append(text);
    document.getElementById("legend").append(entry);
  };
  data.kinds.forEach((kind, index) => {
    const isUsed = data.schedules.some((schedule) => schedule.passes.some((flat) =>
      flat.some((value, i) => i % FIELDS === 0 && value === index)));
    if (isUsed)
      write(kind.short + " " + kind.name, kind.shades.map((shade) => shade.fill));
  });
  if (data.schedules.some((schedule) => schedule.reductions.some((flat) => flat.length)))
    write("G gradient exchange", [data.reductionColor]);
}

function writeChoices() {
  if (panels.length < 2) return;
  panels.forEach((panel) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => {
      panel.isShown = box.checked;
      relayout();
    });
    label.append(box, panel.schedule.name + " ");
    document.getElementById("shown").append(label);
  });
}

function start() {
  document.getElementById("panels").append(...panels.map((panel) => panel.section));
  writeLegend();
  writeChoices();
  document.getElementById("in").addEventListener("click", () => zoom(1 / 1.5, 0.5));
  document.getElementById("out").addEventListener("click", () => zoom(1.5, 0.5));
  document.getElementById("fit").addEventListener("click", fit);
  for (const name of ["axis", "layout", "memory"])
    document.getElementById(name).addEventListener("change", (event) => {
      settings[name] = event.target.value;
      relayout();
    });
  window.addEventListener("resize", relayout);
  panels.forEach((panel) => panel.listen());
  relayout();
}
start();
