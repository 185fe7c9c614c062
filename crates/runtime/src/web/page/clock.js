// How old something is, by the daemon's own monotonic clock.
//
// Every message says what the daemon's clock showed when it was sent. The smallest difference between our clock and that
// one belongs to the message with the least delay, so a message that was held up on the way reads as old, which it is.
// No wall clock is compared with another.

/** The least delay seen is let grow by this much of the time that passes, since two clocks may drift apart: 100 ppm. */
const DRIFT = 100e-6;
/** A moment further ahead than this was not told by this daemon. */
const FUTURE_MAX_MS = 1_000;

export class DaemonClock {
  constructor(now = () => performance.now()) {
    this.now = now;
    this.reset();
  }

  /** Takes in what the daemon's clock showed, in microseconds, in a message that arrived just now. */
  heard(clockUs) {
    const now = this.now();
    const grown = this.isSet() ? this.least + DRIFT * (now - this.heardAt) : Infinity;
    this.least = Math.min(grown, now - clockUs / 1000);
    this.heardAt = now;
  }

  /** Forgets everything: the daemon was started anew, and so was its clock. */
  reset() {
    this.least = null;
    this.heardAt = null;
  }

  /** Says whether the daemon was heard yet. */
  isSet() {
    return this.least !== null;
  }

  /**
   * Returns the age of a moment on the daemon's clock, in milliseconds; infinite before the daemon was heard, and for a moment that
   * is yet to come: it is of another daemon's clock.
   */
  ageMs(clockUs) {
    if (!this.isSet()) return Infinity;
    const age = this.now() - this.least - clockUs / 1000;
    return age < -FUTURE_MAX_MS ? Infinity : Math.max(0, age);
  }
}

/** Writes an age for people: 0.2 s, 12 s, 3 min. */
export function ageText(ms) {
  if (!Number.isFinite(ms)) return '–';
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  return `${Math.round(ms / 60_000)} min`;
}
