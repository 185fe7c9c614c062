// Small shapes on the Earth, for drawing only. A target's surroundings are some hundred metres: there the Earth is flat.

const METRES_PER_DEGREE = 111_320;
/** chi-square with two degrees of freedom at 90 %: the ellipse that holds the true place with that probability. */
const CHI2_90 = 4.605;
const ELLIPSE_POINTS = 48;

function offset(lon, lat, eastM, northM) {
  const lonScale = METRES_PER_DEGREE * Math.max(Math.cos((lat * Math.PI) / 180), 1e-6);
  return [lon + eastM / lonScale, lat + northM / METRES_PER_DEGREE];
}

/** Returns the ring of the 90 % ellipse of a covariance [nn, ne, ee] in square metres around a place. */
export function ellipseRing(lon, lat, [nn, ne, ee]) {
  const mean = (nn + ee) / 2;
  const spread = Math.hypot((nn - ee) / 2, ne);
  const major = Math.sqrt(Math.max(mean + spread, 0) * CHI2_90);
  const minor = Math.sqrt(Math.max(mean - spread, 0) * CHI2_90);
  const azimuth = 0.5 * Math.atan2(2 * ne, nn - ee); // Of the major axis, from north to east.
  const ring = [];
  for (let index = 0; index <= ELLIPSE_POINTS; index += 1) {
    const angle = (index / ELLIPSE_POINTS) * 2 * Math.PI;
    const along = major * Math.cos(angle);
    const across = minor * Math.sin(angle);
    const north = along * Math.cos(azimuth) - across * Math.sin(azimuth);
    const east = along * Math.sin(azimuth) + across * Math.cos(azimuth);
    ring.push(offset(lon, lat, east, north));
  }
  return ring;
}

/** Returns the ring of a box [west, south, east, north]. */
export function boxRing([west, south, east, north]) {
  return [[west, south], [east, south], [east, north], [west, north], [west, south]];
}

/** Writes a place with six decimals, which is a decimetre. */
export function placeText(position) {
  return `${position.lat_deg.toFixed(6)}, ${position.lon_deg.toFixed(6)}`;
}

/** Writes an accuracy: 3.4 m, 57 m, 1.2 km. */
export function metresText(metres) {
  if (!Number.isFinite(metres)) return '–';
  if (metres < 10) return `${metres.toFixed(1)} m`;
  if (metres < 1000) return `${Math.round(metres)} m`;
  return `${(metres / 1000).toFixed(1)} km`;
}
