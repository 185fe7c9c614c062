// What is drawn over the video: a mark for each target, and the keyboard's crosshair.

export const STATE_COLOURS = {
  locked: '#3ddc84',
  searching: '#ffc857',
  coasting: '#ff9f43',
  lost: '#ff5c6c',
  stale: '#8a94a3',
};

const MARK_CSS_PX = 15;
/** A click this near to a mark means the target, not the ground beside it. */
const PICK_CSS_PX = 14;
/** A pixel belongs to its frame. It is drawn on others only while they are near in time. */
const PIXEL_AGE_MAX_US = 700_000;
const PIXELS_KEPT = 90;
/** How long the place of a click is marked while no track has come yet. */
const CLICK_SHOWN_MS = 2_500;

export class Overlay {
  constructor(canvas, stage) {
    this.canvas = canvas;
    this.stage = stage;
    this.context = canvas.getContext('2d');
    this.pixels = new Map();
    this.clicks = [];
    this.crosshair = null;
    this.marks = [];
  }

  /** Remembers where a target was in the frame of its track. */
  note(shownTrack) {
    const { target, pixel } = shownTrack.track;
    const pixels = this.pixels.get(target) ?? [];
    pixels.push({ at: shownTrack.captured_clock_us, pixel: pixel ?? null });
    if (pixels.length > PIXELS_KEPT) pixels.shift();
    this.pixels.set(target, pixels);
  }

  /** Marks a click until its track takes over. */
  noteClick(x, y) {
    this.clicks.push({ x, y, until: performance.now() + CLICK_SHOWN_MS });
  }

  keepOnly(targets) {
    for (const target of this.pixels.keys()) if (!targets.has(target)) this.pixels.delete(target);
  }

  /** Returns the target's pixel in the picture that is shown, as near in time as one is known. */
  pixelAt(target, capturedUs) {
    let best = null;
    for (const known of this.pixels.get(target) ?? []) {
      if (!best || Math.abs(known.at - capturedUs) <= Math.abs(best.at - capturedUs)) best = known;
    }
    return best && Math.abs(best.at - capturedUs) <= PIXEL_AGE_MAX_US ? best.pixel : null;
  }

  /** Draws everything. `targets` are {target, name, state, selected}; `shown` is what is on the canvas below. */
  draw(targets, shown) {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.fit(shown, ratio);
    const context = this.context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.marks = [];
    if (!shown) return;
    const scale = width / shown.width;
    for (const target of targets) {
      const pixel = this.pixelAt(target.target, shown.capturedUs);
      if (!pixel) continue;
      const at = { target: target.target, x: pixel[0] * scale, y: pixel[1] * scale };
      this.marks.push(at);
      this.drawMark(at, target);
    }
    this.drawClicks(scale);
    if (this.crosshair) this.drawCrosshair(this.crosshair.x * scale, this.crosshair.y * scale, width, height);
  }

  fit(shown, ratio) {
    const box = this.stage.getBoundingClientRect();
    const aspect = shown ? shown.width / shown.height : 16 / 9;
    const width = Math.min(box.width, box.height * aspect);
    const height = width / aspect;
    for (const [name, value] of [['width', width], ['height', height]]) {
      const pixels = Math.max(1, Math.round(value * ratio));
      if (this.canvas[name] !== pixels) this.canvas[name] = pixels;
      this.canvas.style[name] = `${value}px`;
    }
    return { width, height };
  }

  drawMark({ x, y }, { target, name, state, selected }) {
    const context = this.context;
    const colour = STATE_COLOURS[state] ?? STATE_COLOURS.stale;
    const arm = MARK_CSS_PX;
    context.lineWidth = selected ? 3 : 2;
    context.strokeStyle = colour;
    context.shadowColor = '#000';
    context.shadowBlur = 3;
    context.setLineDash(state === 'locked' ? [] : [4, 3]);
    context.beginPath();
    for (const [sx, sy] of [[-1, -1], [1, -1], [1, 1], [-1, 1]]) {
      context.moveTo(x + sx * arm, y + sy * arm * 0.45);
      context.lineTo(x + sx * arm, y + sy * arm);
      context.lineTo(x + sx * arm * 0.45, y + sy * arm);
    }
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.arc(x, y, 1.8, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
    context.shadowBlur = 0;
    this.drawLabel(x, y + arm + 5, `${target}${name ? ` ${name}` : ''}`, state, colour);
  }

  drawLabel(x, top, text, state, colour) {
    const context = this.context;
    const label = state === 'locked' ? text : `${text} · ${state}`;
    context.font = '600 12px system-ui, sans-serif';
    context.textAlign = 'center';
    context.textBaseline = 'top';
    const width = context.measureText(label).width + 10;
    context.fillStyle = 'rgba(8, 12, 18, 0.78)';
    context.fillRect(x - width / 2, top, width, 18);
    context.fillStyle = colour;
    context.fillText(label, x, top + 3);
  }

  drawClicks(scale) {
    const now = performance.now();
    this.clicks = this.clicks.filter((click) => click.until > now);
    for (const click of this.clicks) {
      const left = (click.until - now) / CLICK_SHOWN_MS;
      this.context.globalAlpha = left;
      this.context.strokeStyle = STATE_COLOURS.searching;
      this.context.lineWidth = 2;
      this.context.beginPath();
      this.context.arc(click.x * scale, click.y * scale, 8 + 14 * (1 - left), 0, 2 * Math.PI);
      this.context.stroke();
      this.context.globalAlpha = 1;
    }
  }

  drawCrosshair(x, y, width, height) {
    const context = this.context;
    const gap = 10;
    for (const [colour, line] of [['rgba(0, 0, 0, 0.6)', 3], ['#fff', 1]]) {
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.beginPath();
      for (const [x0, y0, x1, y1] of [
        [0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height],
      ]) {
        context.moveTo(x0, y0);
        context.lineTo(x1, y1);
      }
      context.stroke();
    }
  }

  /** Returns the target whose mark is under a point of the overlay, in CSS pixels. */
  markAt(x, y) {
    const near = this.marks.filter((mark) => Math.hypot(mark.x - x, mark.y - y) <= PICK_CSS_PX);
    return near.sort((a, b) => Math.hypot(a.x - x, a.y - y) - Math.hypot(b.x - x, b.y - y))[0]?.target ?? null;
  }

  /** Returns the frame's pixel under a pointer event, or null outside the picture. */
  pixelUnder(event, shown) {
    const box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * shown.width;
    const y = ((event.clientY - box.top) / box.height) * shown.height;
    return x >= 0 && y >= 0 && x < shown.width && y < shown.height ? { x, y } : null;
  }
}
