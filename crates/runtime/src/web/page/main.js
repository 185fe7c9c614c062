// The operator's page. What comes in is kept here; a few times a second it is drawn, with its age. What is old is never
// drawn as if it were new: ages come from the daemon's clock, and silence counts as age.

import { DaemonClock, ageText } from './clock.js';
import { placeText } from './geo.js';
import { Link } from './link.js';
import { TargetMap, creditText } from './map.js';
import { StateNews } from './news.js';
import { Overlay } from './overlay.js';
import { TargetList, copyText } from './targets.js';
import { Video } from './video.js';

/** Beyond these a thing is not the present. */
const TRACK_STALE_MS = 2_000;
const VIDEO_STALE_MS = 1_000;
const TELEMETRY_STALE_MS = 1_000;
const LINK_STALE_MS = 1_500;
const DRAW_EVERY_MS = 200;
const TOAST_MS = 6_000;
const STEP_PX = 16;
const STEP_FINE_PX = 2;

const byId = (id) => document.getElementById(id);
const clock = new DaemonClock();
const link = new Link();
const video = new Video(byId('picture'));
const overlay = new Overlay(byId('overlay'), byId('stage'));
const map = new TargetMap(byId('map'));
const list = new TargetList(byId('targets'), byId('target-template'), {
  select: (id) => select(id),
  show: (id) => { const { position } = view(id); if (position) map.goTo(position); },
  again: (id) => setAgain(again === id ? null : id),
  rename: (id, label) => ask({ type: 'rename', target: id, label }),
  remove: (id) => ask({ type: 'delete', target: id }),
  copy: (id, text) => copy(id, text),
});

const news = new StateNews(byId('news'));

let state = null;
let prompts = [];
const tracks = new Map();
let selected = null;
let again = null;
let heat = false;

// --- What comes in -------------------------------------------------------------------------------------------------

link.addEventListener('state', ({ detail }) => {
  const before = state;
  if (before && before.boot_id !== detail.state.boot_id) startAnew();
  clock.heard(detail.clock_us);
  state = detail.state;
  video.frameSize = state.video ? [state.video.width_px, state.video.height_px] : null;
  const hasOtherMap = JSON.stringify(before?.imagery) !== JSON.stringify(state.imagery);
  if (!before || hasOtherMap) openMap(state.imagery, state.boot_id);
});

link.addEventListener('targets', ({ detail }) => {
  prompts = detail.targets;
  const ids = new Set(prompts.map((prompt) => prompt.target));
  for (const id of tracks.keys()) if (!ids.has(id)) tracks.delete(id);
  for (const { target, revision } of prompts) {
    if ((tracks.get(target)?.track.revision ?? revision) < revision) map.clearTrail(target);
  }
  overlay.keepOnly(ids);
  map.keepOnly(ids);
  // No other is selected in its place: a second press of Delete would delete that one.
  if (selected !== null && !ids.has(selected)) select(null);
  if (!ids.has(again)) setAgain(null);
  draw();
});

link.addEventListener('track', ({ detail }) => {
  clock.heard(detail.clock_us);
  const known = tracks.get(detail.track.target);
  if (known && known.captured_clock_us > detail.captured_clock_us) return;
  tracks.set(detail.track.target, detail);
  overlay.note(detail);
  map.note(detail.track);
});

link.addEventListener('lost', ({ detail }) => say(`${detail.tracks} updates were lost on a slow connection`, true));
link.addEventListener('dead', () => video.reconnect());
video.addEventListener('fallback', ({ detail }) => say(`Showing still pictures: ${detail}`, true));
video.addEventListener('shown', () => overlay.draw(views(), video.shown));

/** Another run of the daemon has another clock and other targets. */
function startAnew() {
  clock.reset();
  video.forget();
  video.reconnect();
  tracks.clear();
  overlay.keepOnly(new Set());
  map.keepOnly(new Set());
  list.show([]);
  setAgain(null);
  select(null);
}

/** The last part of a path, or the server of an address: what stands before or after says nothing in flight. */
function storeName(name) {
  const parts = name.split('/').filter(Boolean);
  return (name.includes('://') ? parts[1] : parts.pop()) ?? name;
}

function openMap(imagery, run) {
  const credit = creditText(imagery?.attribution ?? '');
  byId('map-credit').textContent = credit;
  byId('map-credit').hidden = !credit;
  try {
    map.open(imagery, run);
    map.onpick = select;
    map.onfollowing = (following) => byId('map-follow').setAttribute('aria-pressed', following);
  } catch (error) {
    showBanner('map-banner', `The map cannot be drawn: this browser has no WebGL (${error.message})`);
  }
}

// --- What is shown -------------------------------------------------------------------------------------------------

/** Returns everything the page shows of one target, with an honest state. */
function view(id) {
  const prompt = prompts.find((candidate) => candidate.target === id);
  const shown = tracks.get(id);
  const current = shown && shown.track.revision >= (prompt?.revision ?? 0) ? shown : null;
  const track = current?.track ?? null;
  const ageMs = current ? clock.ageMs(current.captured_clock_us) : Infinity;
  const isStale = current && (ageMs > TRACK_STALE_MS || link.silenceMs() > LINK_STALE_MS);
  return {
    target: id,
    name: prompt?.label,
    selected: id === selected,
    again: id === again,
    track,
    position: track?.position ?? null,
    ageMs,
    state: isStale ? 'stale' : track?.state ?? 'searching',
    reason: isStale
      ? `last known ${ageText(ageMs)} ago, as ${track.state}: not the present`
      : track?.reason ?? (track ? '' : 'waiting for the first answer'),
  };
}

function views() {
  return prompts.map((prompt) => view(prompt.target));
}

function draw() {
  const targets = views();
  list.show(targets);
  news.show(targets);
  map.showTargets(targets);
  map.showPose(state?.pose, state?.pose ? clock.ageMs(state.pose.captured_clock_us) : Infinity);
  overlay.draw(targets, video.shown);
  byId('count').textContent = targets.length;
  byId('no-targets').hidden = targets.length > 0;
  drawAges();
  drawHealth();
}

function drawAges() {
  const lost = link.silenceMs() > LINK_STALE_MS;
  const { shown } = video;
  const videoMs = shown ? clock.ageMs(shown.capturedUs) : Infinity;
  const frozen = state?.video?.frozen ?? false;
  const old = Boolean(shown) && (videoMs > VIDEO_STALE_MS || lost);
  byId('video-wait').hidden = Boolean(shown);
  byId('stage').classList.toggle('stale', old || (frozen && Boolean(shown)));
  document.body.classList.toggle('cut-off', lost);
  const warning = old ? 'NOT LIVE: this picture is old' : frozen && shown ? 'CAMERA FROZEN: the picture does not change' : '';
  showBanner('video-banner', warning, old ? ` (${ageText(videoMs)})` : '');
  byId('video-wait').textContent = video.still ? `Waiting for a still picture: ${video.still}` : 'Waiting for video';
  showBanner('alarm', lost ? alarmWords() : '', state ? ` Last heard ${ageText(link.silenceMs())} ago.` : '');
  const pose = state?.pose;
  const telemetryMs = pose ? clock.ageMs(pose.captured_clock_us) + pose.telemetry_age_ms : Infinity;
  const videoText = shown ? ageText(videoMs) : '–';
  if (video.still) gauge('video', `${videoText} · still pictures`, true, video.still);
  else gauge('video', videoText, !shown || old || frozen);
  gauge('telemetry', ageText(telemetryMs), telemetryMs > TELEMETRY_STALE_MS);
  gauge('height', pose ? `${Math.round(pose.altitude_msl_m)} m MSL${pose.height_ground_m === undefined ? '' : `, ${Math.round(pose.height_ground_m)} m AGL`}` : '–', !pose);
  gauge('imagery', state?.imagery ? [storeName(state.imagery.name), state.imagery.date].filter(Boolean).join(', ') : 'none', !state?.imagery);
  gauge('model', state?.model ? `${state.model.name} ${state.model.hash.slice(0, 8)} on ${state.model.backend}` : 'none', !state?.model);
  byId('frame-label').textContent = shown ? `frame ${shown.frame} · ${shown.width}×${shown.height}` : '';
}

function alarmWords() {
  if (link.refusal) return `No seat for this page: ${link.refusal}. It asks again by itself. Nothing on it is live.`;
  return state ? 'Connection to the daemon lost. Nothing on this page is live.' : 'Connecting to the daemon…';
}

function gauge(name, text, isBad, title = text) {
  const element = byId(`gauge-${name}`);
  if (element.textContent !== text) element.textContent = text;
  element.title = title;
  element.classList.toggle('bad', isBad);
}

function drawHealth() {
  const lost = link.silenceMs() > LINK_STALE_MS;
  const level = lost ? 'lost' : state?.health.level ?? 'starting';
  byId('health-lamp').dataset.level = level;
  byId('health-word').textContent = lost ? 'no connection' : level;
  byId('drone').textContent = state?.drone ?? '';
  const parts = byId('health-parts');
  const known = (state?.health.parts ?? []).map((part) => [part.level, part.cause ? `${part.part}: ${part.cause}` : part.part]);
  const lines = lost ? [['lost', 'not known: no connection']] : known;
  const text = JSON.stringify(lines);
  if (parts.dataset.text === text) return;
  parts.dataset.text = text;
  parts.replaceChildren(...lines.map(([partLevel, line]) => {
    const item = document.createElement('li');
    item.dataset.level = partLevel;
    item.textContent = line;
    return item;
  }));
}

/** Shows words, and an age that may change as often as it likes: it is not read out. No words, no banner. */
function showBanner(id, words, age = '') {
  const banner = byId(id);
  banner.hidden = !words;
  for (const [part, text] of [[0, words], [1, age]]) {
    if (banner.children[part].textContent !== text) banner.children[part].textContent = text;
  }
}

let toastTimer = null;
function say(text, isBad = false) {
  const toast = byId('toast');
  toast.textContent = text;
  toast.classList.toggle('bad', isBad);
  toast.classList.add('shown');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => toast.classList.remove('shown'), TOAST_MS);
}

// --- What the operator does ----------------------------------------------------------------------------------------

function select(id) {
  selected = id;
  showHeat();
  if (id !== null) list.focus(id);
  draw();
}

/** Lets the next click say anew where a target is. */
function setAgain(id) {
  again = id;
  byId('video-mode').textContent = id === null
    ? 'Click or tap an object to follow it.'
    : `Click where target ${id} is now. Esc leaves it as it is.`;
  byId('stage').classList.toggle('again', id !== null);
  draw();
}

async function ask(request) {
  try {
    return await link.ask(request);
  } catch (error) {
    say(error.message, true);
    return null;
  }
}

/** Follows, or moves, the object under a pixel of the frame that was shown when the operator pressed. */
async function clickAt({ x, y }, frame) {
  overlay.noteClick(x, y);
  const moved = again;
  if (moved !== null) setAgain(null);
  const target = await ask(moved === null ? { type: 'follow', frame, x, y } : { type: 'move', target: moved, frame, x, y });
  if (target) select(target.target);
}

/** Shows the selected target's heat map while its button is pressed. Where there is none, it says why. */
function showHeat() {
  map.showHeat(heat ? selected : null);
  tellHeat(heat && selected === null ? 'select a target to see where it may be' : null);
}

function tellHeat(why, ageMs) {
  showBanner('map-note', why ? `No heat map: ${why}` : '', ageMs === undefined ? '' : ` (${ageText(ageMs)})`);
}

map.onheat = tellHeat;

async function copy(id, text) {
  const { state: word, ageMs } = view(id);
  try {
    await copyText(text);
    if (word === 'stale') say(`Copied ${text}, but it is ${ageText(ageMs)} old: not the present`, true);
    else if (word !== 'locked') say(`Copied ${text}, but it is not confirmed: ${word}`, true);
    else say(`Copied ${text}`);
  } catch (error) {
    say(error.message, true);
  }
}

let pressed = null;
const stage = byId('stage');

stage.addEventListener('pointerdown', (event) => {
  if (!event.isPrimary || event.button !== 0 || !video.shown) return;
  // The frame is taken now: by the time the button is up, another is shown.
  pressed = { frame: video.shown.frame, pixel: overlay.pixelUnder(event, video.shown), x: event.clientX, y: event.clientY };
});

stage.addEventListener('pointerup', (event) => {
  const press = pressed;
  pressed = null;
  if (!press?.pixel || Math.hypot(event.clientX - press.x, event.clientY - press.y) > 12) return;
  overlay.crosshair = null;
  const box = overlay.canvas.getBoundingClientRect();
  const mark = again === null && !event.shiftKey ? overlay.markAt(event.clientX - box.left, event.clientY - box.top) : null;
  if (mark !== null) select(mark);
  else clickAt(press.pixel, press.frame);
});

stage.addEventListener('pointercancel', () => { pressed = null; });

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

stage.addEventListener('keydown', (event) => {
  const { shown } = video;
  if (!shown) return;
  const arrow = ARROWS[event.key];
  const middle = { x: shown.width / 2, y: shown.height / 2 };
  if (event.repeat && !arrow) {
    // A key that is held down is one press: it neither makes nor deletes a row of targets.
  } else if (arrow) {
    const step = event.shiftKey ? STEP_FINE_PX : STEP_PX;
    const from = overlay.crosshair ?? middle;
    const clamp = (value, size) => Math.min(Math.max(value, 0.5), size - 0.5);
    overlay.crosshair = { x: clamp(from.x + arrow[0] * step, shown.width), y: clamp(from.y + arrow[1] * step, shown.height) };
  } else if (event.key === 'Enter' && !overlay.crosshair) {
    overlay.crosshair = middle;
    say('Enter follows what is under the crosshair; the arrow keys move it');
  } else if (event.key === 'Enter') {
    clickAt(overlay.crosshair, shown.frame);
  } else if (event.key === 'Delete' && selected !== null) {
    ask({ type: 'delete', target: selected });
  } else if (event.key === 'Escape') {
    overlay.crosshair = null;
    setAgain(null);
  } else {
    return;
  }
  event.preventDefault();
  overlay.draw(views(), shown);
});

byId('map-follow').addEventListener('click', () => map.setFollowing(!map.following));
byId('map-north').addEventListener('click', () => map.north());
byId('map-heat').addEventListener('click', (event) => {
  heat = !heat;
  event.currentTarget.setAttribute('aria-pressed', heat);
  showHeat();
});

setInterval(draw, DRAW_EVERY_MS);
draw();

/** What the page shows, for a person at the console and for tests. */
window.smgeo = {
  shown: () => video.shown,
  targets: () => views().map(({ target, name, state: word, position, ageMs }) => ({ target, name, state: word, place: position && placeText(position), ageMs })),
};
