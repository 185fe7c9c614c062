// Live video on a canvas, and the id of the frame that is on it.
//
// The access units are the camera's own; WebCodecs decodes them. Every unit comes with the id of its frame, the decoder
// hands the unit's timestamp through, and so a click knows exactly which frame the operator saw. Where there are no units
// to decode, snapshots are shown, which name their frame too: in a browser without WebCodecs (or a page without a secure
// context), and for a camera whose video is not H.264.

import { NO_SEAT, socketUrl } from './link.js';
import { codecOf, parseVideoMessage } from './h264.js';

const RECONNECT_MS = 500;
/** Where all seats are taken, one is asked for less often. */
const SEAT_RETRY_MS = 5_000;
/** So many decoder errors without a picture in between: the browser cannot decode this video. */
const ERRORS_MAX = 5;
/** Pictures a decoder may hold back; older entries are of units it has dropped. */
const PENDING_MAX = 64;
const SNAPSHOT_EVERY_MS = 200;
/** While there is none, it is asked for less often. */
const SNAPSHOT_RETRY_MS = 1_000;
/** A request that has no answer by then has none. */
const SNAPSHOT_MAX_MS = 3_000;
/** So long without a unit, and snapshots are asked for. */
const UNITS_WAIT_MS = 3_000;

export class Video extends EventTarget {
  /** `picture` is the canvas; it takes the size of the video. */
  constructor(picture) {
    super();
    this.picture = picture;
    this.context = picture.getContext('2d', { alpha: false });
    /** What is on the canvas: {frame, capturedUs, width, height}, or null. */
    this.shown = null;
    this.waiting = null;
    /** Width and height of the daemon's frames, once known: clicks and marks are in their pixels, which are square. */
    this.frameSize = null;
    this.errors = 0;
    this.unitAt = performance.now();
    /** Why there are still pictures only, as the operator was told; null while there is video. */
    this.still = null;
    this.draw = this.draw.bind(this);
    requestAnimationFrame(this.draw);
    if ('VideoDecoder' in window) this.connect();
    // Later, so that whoever made this can listen first.
    else queueMicrotask(() => this.fallBack(whyNoDecoder()));
    this.fetchSnapshots();
  }

  /** Connects anew at once: a socket may be dead without being closed. */
  reconnect() {
    if (!this.socket || this.snapshots) return;
    const dead = this.socket;
    this.stopDecoder();
    this.connect();
    dead.close();
  }

  connect() {
    clearTimeout(this.retry);
    const socket = new WebSocket(socketUrl('/ws/video'));
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.pending = new Map();
    this.codec = null;
    // Of the newest socket only: one that was given up may still deliver, or end.
    socket.onmessage = (event) => { if (this.socket === socket) this.take(parseVideoMessage(event.data)); };
    socket.onclose = ({ code, reason }) => {
      if (this.socket !== socket) return;
      this.stopDecoder();
      if (this.snapshots) return;
      this.refusal = code === NO_SEAT ? reason : null;
      if (this.refusal) this.tellStill(this.refusal);
      this.retry = setTimeout(() => this.connect(), this.refusal ? SEAT_RETRY_MS : RECONNECT_MS);
    };
  }

  /** Gives one unit to the decoder. The daemon begins with a key frame, also after it has dropped units. */
  take(message) {
    this.unitAt = performance.now();
    if (!this.snapshots) this.still = null;
    if (message.key) this.configure(codecOf(message.unit));
    if (this.decoder?.state !== 'configured') {
      this.acknowledge(message.sequence);
      return;
    }
    let timestamp = message.capturedUs;
    while (this.pending.has(timestamp)) timestamp += 1;
    this.pending.set(timestamp, message);
    if (this.pending.size > PENDING_MAX) this.pending.delete(this.pending.keys().next().value);
    const type = message.key ? 'key' : 'delta';
    try {
      this.decoder.decode(new EncodedVideoChunk({ type, timestamp, data: message.unit }));
    } catch (error) {
      this.fail(error);
    }
  }

  configure(codec) {
    if (!codec || (codec === this.codec && this.decoder?.state === 'configured')) return;
    this.stopDecoder();
    this.codec = codec;
    const decoder = new VideoDecoder({ output: (frame) => this.decoded(frame), error: (error) => this.fail(error) });
    this.decoder = decoder;
    try {
      decoder.configure({ codec, optimizeForLatency: true });
    } catch (error) {
      this.fail(error);
    }
  }

  decoded(frame) {
    const message = this.pending.get(frame.timestamp);
    this.pending.delete(frame.timestamp);
    if (!message) {
      frame.close();
      return;
    }
    this.errors = 0;
    this.acknowledge(message.sequence);
    const [width, height] = this.frameSize ?? [frame.displayWidth, frame.displayHeight];
    this.show(frame, { frame: message.frame, capturedUs: message.capturedUs, width, height });
  }

  /** Tells the daemon how far we are, so that it never sends more than a second ahead. */
  acknowledge(sequence) {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.socket.send(JSON.stringify({ decoded: sequence, queue: this.decoder?.decodeQueueSize ?? 0 }));
  }

  /** A stream that cannot be decoded is asked for again from a key frame on. */
  fail(error) {
    this.errors += 1;
    console.warn('video not decoded', error);
    if (this.errors > ERRORS_MAX) this.fallBack(`the video cannot be decoded here (${this.codec})`);
    this.socket?.close();
  }

  stopDecoder() {
    if (this.decoder && this.decoder.state !== 'closed') this.decoder.close();
    this.decoder = null;
  }

  /** Keeps the newest picture for the next repaint; one that was never painted is let go. */
  show(image, about) {
    this.waiting?.image.close();
    this.waiting = { image, about };
  }

  /** Forgets the picture that is shown: it is of another run of the daemon. The canvas keeps it, as what is waited for to be replaced. */
  forget() {
    this.waiting?.image.close();
    this.waiting = null;
    this.shown = null;
  }

  draw() {
    requestAnimationFrame(this.draw);
    if (!this.waiting) return;
    const { image, about } = this.waiting;
    this.waiting = null;
    if (this.picture.width !== about.width || this.picture.height !== about.height) {
      this.picture.width = about.width;
      this.picture.height = about.height;
    }
    this.context.drawImage(image, 0, 0, about.width, about.height);
    image.close();
    this.shown = about;
    this.dispatchEvent(new Event('shown'));
  }

  /** Shows snapshots from now on, whatever units come. */
  fallBack(reason) {
    if (this.snapshots) return;
    this.snapshots = true;
    this.tellStill(reason);
  }

  /** Tells the operator once why there are still pictures only. */
  tellStill(reason) {
    if (this.still === reason) return;
    this.still = reason;
    this.dispatchEvent(new CustomEvent('fallback', { detail: reason }));
  }

  /** Shows snapshots for as long as no units come, or are to be had. */
  async fetchSnapshots() {
    for (;;) {
      const wanted = this.still !== null || performance.now() - this.unitAt > UNITS_WAIT_MS;
      // A lost picture shows by its age.
      const shown = wanted && (await this.fetchSnapshot().catch(() => false));
      await new Promise((resolve) => setTimeout(resolve, shown || !wanted ? SNAPSHOT_EVERY_MS : SNAPSHOT_RETRY_MS));
    }
  }

  /** Says whether there was a picture. */
  async fetchSnapshot() {
    const signal = AbortSignal.timeout(SNAPSHOT_MAX_MS);
    const answer = await fetch('/api/v1/snapshot.jpg', { cache: 'no-store', signal });
    if (!answer.ok) return false;
    const frame = Number(answer.headers.get('x-smgeo-frame'));
    const capturedUs = Number(answer.headers.get('x-smgeo-captured-clock-us'));
    if (this.shown && capturedUs <= this.shown.capturedUs) return true;
    if (!this.snapshots) this.tellStill(this.refusal ?? 'no H.264 video comes that could be played');
    const image = await createImageBitmap(await answer.blob());
    this.show(image, { frame, capturedUs, width: image.width, height: image.height });
    return true;
  }
}

/** Says why this browser has no decoder for us, and what helps. */
function whyNoDecoder() {
  if (window.isSecureContext) return 'this browser has no WebCodecs';
  return `video needs https or a tunnel (ssh -L 8080:localhost:${location.port || 80} ${location.hostname})`;
}
