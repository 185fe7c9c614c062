// The WebSocket to the daemon: tracks, targets and state come in, clicks go out. It reconnects for ever.

const WAIT_MIN_MS = 250;
const WAIT_MAX_MS = 5_000;
/** The state comes four times a second; so long without a word is a dead connection. */
const SILENCE_MAX_MS = 3_000;
const WATCH_EVERY_MS = 500;
/** The code with which the daemon closes a socket that it has no seat for; the reason says which limit is reached. */
export const NO_SEAT = 1013;
/** A request that has no answer by then has none. */
const ANSWER_MAX_MS = 4_000;

export function socketUrl(path) {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return `${scheme}//${location.host}${path}`;
}

export class Link extends EventTarget {
  constructor() {
    super();
    this.waitMs = WAIT_MIN_MS;
    this.requests = new Map();
    this.nextId = 1;
    this.heardAt = -Infinity;
    /** Why the daemon does not let this page in, while it does not; else null. */
    this.refusal = null;
    this.connect();
    this.watchedAt = performance.now();
    setInterval(() => this.watch(), WATCH_EVERY_MS);
  }

  connect() {
    this.openedAt = performance.now();
    const socket = new WebSocket(socketUrl('/ws'));
    this.socket = socket;
    socket.onmessage = (event) => this.hear(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.refusal = event?.code === NO_SEAT ? event.reason : null;
      this.failAll('the connection to the daemon was lost');
      setTimeout(() => this.connect(), this.waitMs);
      this.waitMs = Math.min(this.waitMs * 2, WAIT_MAX_MS);
    };
  }

  /** A connection may be dead without being closed: then it is given up. A page that was itself asleep cannot tell. */
  watch() {
    const now = performance.now();
    const asleep = now - this.watchedAt > 2 * WATCH_EVERY_MS;
    this.watchedAt = now;
    if (asleep) return;
    const quietMs = now - Math.max(this.heardAt, this.openedAt);
    if (this.socket.readyState <= WebSocket.OPEN && quietMs > SILENCE_MAX_MS) {
      const dead = this.socket;
      dead.onmessage = null;
      dead.onclose();
      dead.onclose = null;
      dead.close();
      this.dispatchEvent(new Event('dead'));
    }
  }

  hear(message) {
    this.heardAt = performance.now();
    // Not when it opens: one that has no seat for us opens too.
    this.waitMs = WAIT_MIN_MS;
    this.refusal = null;
    if (message.type !== 'answer') {
      this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
      return;
    }
    const request = this.requests.get(message.id);
    if (!request) return;
    this.requests.delete(message.id);
    clearTimeout(request.timer);
    if (message.ok) request.resolve(message.target);
    else request.reject(new Error(message.error.message));
  }

  /** Returns how long nothing has been heard, in milliseconds. */
  silenceMs() {
    return performance.now() - this.heardAt;
  }

  /** Sends a request. Resolves with the target, rejects with a sentence. */
  ask(request) {
    return new Promise((resolve, reject) => {
      if (this.socket.readyState !== WebSocket.OPEN) {
        reject(new Error('there is no connection to the daemon'));
        return;
      }
      const id = this.nextId++;
      const timer = setTimeout(() => {
        this.requests.delete(id);
        reject(new Error('the daemon did not answer'));
      }, ANSWER_MAX_MS);
      this.requests.set(id, { resolve, reject, timer });
      this.socket.send(JSON.stringify({ ...request, id }));
    });
  }

  failAll(reason) {
    for (const request of this.requests.values()) {
      clearTimeout(request.timer);
      request.reject(new Error(reason));
    }
    this.requests.clear();
  }
}
