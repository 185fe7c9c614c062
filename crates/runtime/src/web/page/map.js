// The map: local tiles, the drone and what it sees, and each target with its box, its 90 % ellipse and its trail.

import { Map as MapView, Marker, NavigationControl, ScaleControl } from './vendor/maplibre-gl.mjs';
import { boxRing, ellipseRing } from './geo.js';
import { STATE_COLOURS } from './overlay.js';

const TRAIL_POINTS_MAX = 600;
/** A pose older than this is where the drone was. */
const POSE_STALE_MS = 2_000;
/** A heat map older than this is taken away: the search may be elsewhere by now. */
const HEAT_STALE_MS = 3_000;
const HEAT_EVERY_MS = 1_000;
/** An answer that takes longer would be as old. */
const HEAT_ANSWER_MAX_MS = 3_000;
/** The camera's view may leave the middle by so much before the map follows. */
const FOLLOW_STEP_PX = 24;
const EMPTY = { type: 'FeatureCollection', features: [] };
const COLOUR = ['match', ['get', 'state'], ...Object.entries(STATE_COLOURS).flat(), STATE_COLOURS.stale];

const LAYERS = [
  { id: 'footprint-fill', type: 'fill', source: 'footprint', paint: { 'fill-color': '#5ad1ff', 'fill-opacity': ['case', ['get', 'stale'], 0.03, 0.10] } },
  { id: 'footprint-line', type: 'line', source: 'footprint', paint: { 'line-color': ['case', ['get', 'stale'], '#8a94a3', '#5ad1ff'], 'line-width': 1.5 } },
  { id: 'trails', type: 'line', source: 'trails', paint: { 'line-color': COLOUR, 'line-width': 2, 'line-opacity': 0.7 } },
  { id: 'ellipses-fill', type: 'fill', source: 'ellipses', paint: { 'fill-color': COLOUR, 'fill-opacity': ['case', ['==', ['get', 'state'], 'locked'], 0.22, 0.10] } },
  { id: 'ellipses-sure', type: 'line', source: 'ellipses', filter: ['==', ['get', 'state'], 'locked'], paint: { 'line-color': COLOUR, 'line-width': 2 } },
  { id: 'ellipses-unsure', type: 'line', source: 'ellipses', filter: ['!=', ['get', 'state'], 'locked'], paint: { 'line-color': COLOUR, 'line-width': 2, 'line-dasharray': [2, 2] } },
  { id: 'boxes', type: 'line', source: 'boxes', paint: { 'line-color': COLOUR, 'line-width': 2 } },
];

export class TargetMap {
  constructor(container) {
    this.container = container;
    this.trails = new Map();
    this.markers = new Map();
    this.following = true;
    this.heatTarget = null;
    this.drawn = new Map();
  }

  /** Makes the map, once the imagery of a run of the daemon is known, and anew for another. Throws where the browser has no WebGL. */
  open(imagery, run) {
    this.close();
    const bounds = imagery?.bounds_deg;
    const tiles = {
      // The run keeps tiles of another map, which the browser may still hold, out of this one.
      type: 'raster', tiles: [`${location.origin}/tiles/{z}/{x}/{y}?run=${encodeURIComponent(run)}`], tileSize: 256,
      minzoom: imagery?.zoom_min ?? 0, maxzoom: imagery?.zoom_max ?? 19,
      ...(bounds ? { bounds } : {}),
    };
    const sources = Object.fromEntries(['footprint', 'trails', 'ellipses', 'boxes'].map((name) => [name, { type: 'geojson', data: EMPTY }]));
    const map = new MapView({
      container: this.container,
      style: {
        version: 8,
        sources: { ...(imagery ? { tiles } : {}), ...sources },
        layers: [
          { id: 'background', type: 'background', paint: { 'background-color': '#10151c' } },
          ...(imagery ? [{ id: 'tiles', type: 'raster', source: 'tiles', paint: { 'raster-fade-duration': 0 } }] : []),
          ...LAYERS,
        ],
      },
      ...(bounds ? { bounds, fitBoundsOptions: { padding: 10 } } : { center: [0, 0], zoom: 1 }),
      attributionControl: false, dragRotate: true, maxZoom: 22, maxPitch: 0,
    });
    this.map = map;
    map.addControl(new NavigationControl({ visualizePitch: false }), 'top-right');
    map.addControl(new ScaleControl({ maxWidth: 120 }), 'bottom-left');
    map.on('dragstart', () => this.setFollowing(false));
    map.on('error', () => {}); // A tile that the store does not have is no news.
    // Not 'load', which waits for a first complete picture: drone and targets are shown before the last tile.
    map.once('style.load', () => { this.loaded = this.loaded || map === this.map; });
  }

  /** Takes the map away, and all that was drawn on it. */
  close() {
    this.map?.remove();
    this.map = null;
    this.drone = null;
    this.loaded = false;
    this.framed = false;
    this.markers.clear();
    this.drawn.clear();
  }

  setFollowing(following) {
    this.following = following;
    this.onfollowing?.(following);
  }

  north() {
    this.map?.easeTo({ bearing: 0, duration: 200 });
  }

  /** Moves the drone and its footprint. */
  showPose(pose, ageMs) {
    if (!this.loaded) return;
    const stale = !pose || ageMs > POSE_STALE_MS;
    if (pose) this.showDrone(pose, stale);
    else this.drone?.getElement().classList.add('stale');
    const ring = pose?.footprint.length > 2 ? [...pose.footprint, pose.footprint[0]] : null;
    const feature = ring && { type: 'Feature', properties: { stale }, geometry: { type: 'Polygon', coordinates: [ring] } };
    this.put('footprint', feature ?? EMPTY);
    if (this.following && pose && !stale) this.followView(pose, ring);
  }

  /** Keeps the drone and what it sees in the middle; the first time, also at a scale that shows both well. */
  followView(pose, ring) {
    const corners = [...(ring ?? []), [pose.lon_deg, pose.lat_deg]];
    const [lons, lats] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
    const [west, east] = [Math.min(...lons), Math.max(...lons)];
    const [south, north] = [Math.min(...lats), Math.max(...lats)];
    if (this.framed) {
      this.centreOn([(west + east) / 2, (south + north) / 2]);
      return;
    }
    this.framed = true;
    this.map.fitBounds([west, south, east, north], { padding: 60, maxZoom: 18, animate: false });
  }

  /** Moves the map in steps: an animation would draw all the time, and a machine without a GPU has better things to do. */
  centreOn(center) {
    const { x, y } = this.map.project(center);
    const { clientWidth, clientHeight } = this.map.getContainer();
    if (Math.hypot(x - clientWidth / 2, y - clientHeight / 2) > FOLLOW_STEP_PX) this.map.jumpTo({ center });
  }

  /** Hands shapes to the map where they have changed; each change is a repaint. */
  put(source, data) {
    const text = JSON.stringify(data);
    if (this.drawn.get(source) === text) return;
    this.drawn.set(source, text);
    this.map.getSource(source).setData(data);
  }

  showDrone(pose, stale) {
    if (!this.drone) {
      const element = document.createElement('div');
      element.className = 'drone-mark';
      element.innerHTML = '<svg viewBox="-12 -12 24 24" width="30" height="30" aria-hidden="true"><path d="M0-10 7 9 0 5-7 9Z"/></svg>';
      this.drone = new Marker({ element, rotationAlignment: 'map', pitchAlignment: 'map' });
      this.drone.setLngLat([pose.lon_deg, pose.lat_deg]).addTo(this.map);
    }
    this.drone.getElement().classList.toggle('stale', stale);
    this.drone.setLngLat([pose.lon_deg, pose.lat_deg]).setRotation(pose.heading_deg ?? pose.camera_azimuth_deg);
  }

  /** Draws the targets: {target, name, state, selected, position, ageMs}. */
  showTargets(targets) {
    if (!this.loaded) return;
    const [boxes, ellipses, trails] = [[], [], []];
    for (const target of targets) {
      const { position, state } = target;
      if (position) {
        const { lon_deg: lon, lat_deg: lat } = position;
        ellipses.push(polygon(ellipseRing(lon, lat, position.covariance_ne_m2), state));
        if (position.bounds_deg) boxes.push(polygon(boxRing(position.bounds_deg), state));
      }
      const trail = this.trails.get(target.target) ?? [];
      if (trail.length > 1) trails.push({ type: 'Feature', properties: { state }, geometry: { type: 'LineString', coordinates: trail } });
      this.mark(target);
    }
    for (const [name, features] of [['boxes', boxes], ['ellipses', ellipses], ['trails', trails]]) {
      this.put(name, { type: 'FeatureCollection', features });
    }
  }

  mark({ target, name, state, selected, position }) {
    let marker = this.markers.get(target);
    if (!position) {
      marker?.remove();
      this.markers.delete(target);
      return;
    }
    if (!marker) {
      const element = document.createElement('button');
      element.type = 'button';
      element.addEventListener('click', (event) => { event.stopPropagation(); this.onpick?.(target); });
      marker = new Marker({ element, anchor: 'bottom', offset: [0, -12] }).setLngLat([position.lon_deg, position.lat_deg]).addTo(this.map);
      this.markers.set(target, marker);
    }
    marker.setLngLat([position.lon_deg, position.lat_deg]);
    const element = marker.getElement();
    element.classList.add('target-mark');
    element.classList.toggle('selected', selected);
    element.dataset.state = state;
    element.textContent = target;
    element.setAttribute('aria-label', `Target ${target}${name ? ` ${name}` : ''}, ${state}`);
  }

  /** Extends a target's trail by a confirmed place. */
  note(track) {
    if (!track.position || track.state !== 'locked') return;
    const trail = this.trails.get(track.target) ?? [];
    trail.push([track.position.lon_deg, track.position.lat_deg]);
    if (trail.length > TRAIL_POINTS_MAX) trail.shift();
    this.trails.set(track.target, trail);
  }

  /** Begins a target's trail anew. */
  clearTrail(target) {
    this.trails.delete(target);
  }

  keepOnly(targets) {
    for (const target of this.trails.keys()) if (!targets.has(target)) this.trails.delete(target);
    for (const [target, marker] of this.markers) {
      if (targets.has(target)) continue;
      marker.remove();
      this.markers.delete(target);
    }
  }

  goTo(position) {
    this.setFollowing(false);
    this.map?.easeTo({ center: [position.lon_deg, position.lat_deg], zoom: Math.max(this.map.getZoom(), 18), duration: 400 });
  }

  /** Lays the heat map of a target over the map; null takes it away. `onheat` hears why there is none, or null where it lies. */
  showHeat(target) {
    clearInterval(this.heatTimer);
    if (target !== this.heatTarget) this.removeHeat();
    this.heatTarget = target;
    if (target === null) return;
    this.refreshHeat();
    this.heatTimer = setInterval(() => this.refreshHeat(), HEAT_EVERY_MS);
  }

  async refreshHeat() {
    const target = this.heatTarget;
    const heat = await heatOf(target);
    if (target !== this.heatTarget) return;
    const why = this.loaded ? heat.why ?? null : 'the map is not drawn';
    this.onheat?.(why, heat.ageMs);
    if (why !== null) {
      this.removeHeat();
      return;
    }
    const image = { url: `${location.origin}${heat.png}?frame=${heat.frame}`, coordinates: heat.corners_deg };
    const source = this.map.getSource('heat');
    if (source) source.updateImage(image);
    else {
      this.map.addSource('heat', { type: 'image', ...image });
      this.map.addLayer({ id: 'heat', type: 'raster', source: 'heat', paint: { 'raster-fade-duration': 0, 'raster-opacity': 0.85 } }, 'footprint-fill');
    }
  }

  removeHeat() {
    if (!this.map?.getSource('heat')) return;
    this.map.removeLayer('heat');
    this.map.removeSource('heat');
  }
}

/** Returns a target's heat map, or {why}, perhaps with {ageMs}, where there is none of the present. */
async function heatOf(target) {
  try {
    const answer = await fetch(`/api/v1/heatmap/${target}`, { signal: AbortSignal.timeout(HEAT_ANSWER_MAX_MS) });
    const heat = await answer.json();
    if (!answer.ok) return { why: heat.error.message };
    if (heat.age_ms > HEAT_STALE_MS) return { why: `the network's last answer about target ${target} is old`, ageMs: heat.age_ms };
    return heat.corners_deg ? heat : { why: 'where the network has looked is not on the map' };
  } catch {
    return { why: 'the daemon does not answer' };
  }
}

/** Returns the words of an attribution, which stores write as HTML: nothing of it is run or loaded. */
export function creditText(html) {
  return new DOMParser().parseFromString(html, 'text/html').body.textContent.trim();
}

function polygon(ring, state) {
  return { type: 'Feature', properties: { state }, geometry: { type: 'Polygon', coordinates: [ring] } };
}
