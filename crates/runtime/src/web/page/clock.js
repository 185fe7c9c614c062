// How old something is, by the daemon's own monotonic clock.
//
// Every message says what the daemon's clock showed when it was sent. The smallest difference between our clock and that
// one belongs to the message with the least delay, so a message that was held up on the way reads as old, which it is.
// No wall clock is compared with another.

/** A least delay older than this is forgotten, so that two clocks may drift. */
const WINDOW_MS = 60_000;
/** The window is kept in so many slices. */
const SLICES = 6;

export class DaemonClock {
  constructor(now = () => performance.now()) {
    this.now = now;
    this.slices = [];
  }

  /** Takes in what the daemon's clock showed, in microseconds, in a message that arrived just now. */
  heard(clockUs) {
    const now = this.now();
    const offset = now - clockUs / 1000;
    const slice = Math.floor(now / (WINDOW_MS / SLICES));
    const newest = this.slices.at(-1);
    if (newest?.slice === slice) newest.offset = Math.min(newest.offset, offset);
    else this.slices.push({ slice, offset });
    while (this.slices.length > SLICES) this.slices.shift();
  }

  /** Forgets everything: the daemon was started anew, and so was its clock. */
  reset() {
    this.slices = [];
  }

  /** Says whether the daemon was heard yet. */
  isSet() {
    return this.slices.length > 0;
  }

  /** Returns the age of a moment on the daemon's clock, in milliseconds; infinite before the daemon was heard. */
  ageMs(clockUs) {
    if (!this.isSet()) return Infinity;
    return Math.max(0, this.now() - this.offset() - clockUs / 1000);
  }

  offset() {
    return Math.min(...this.slices.map((slice) => slice.offset));
  }
}

/** Writes an age for people: 0.2 s, 12 s, 3 min. */
export function ageText(ms) {
  if (!Number.isFinite(ms)) return '–';
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  return `${Math.round(ms / 60_000)} min`;
}
