// What a decoder must know of an H.264 stream before it can decode: it stands in the sequence parameter set.

const SEQUENCE_PARAMETER_SET = 7;

/**
 * Returns the codec string (`avc1.` with profile, constraints and level) of an access unit in Annex B form, or null if it
 * carries no sequence parameter set.
 */
export function codecOf(unit) {
  for (let at = 0; at + 6 < unit.length; at += 1) {
    const isStart = unit[at] === 0 && unit[at + 1] === 0 && unit[at + 2] === 1;
    if (!isStart) continue;
    if ((unit[at + 3] & 0x1f) === SEQUENCE_PARAMETER_SET) {
      const hex = (byte) => byte.toString(16).padStart(2, '0');
      return `avc1.${hex(unit[at + 4])}${hex(unit[at + 5])}${hex(unit[at + 6])}`;
    }
    at += 2;
  }
  return null;
}

/** Splits a message of `/ws/video` into its header and the access unit. All numbers are big-endian. */
export function parseVideoMessage(buffer) {
  const view = new DataView(buffer);
  return {
    sequence: view.getUint32(0),
    key: view.getUint8(4) === 1,
    capturedUs: Number(view.getBigUint64(5)),
    frame: Number(view.getBigUint64(13)),
    unit: new Uint8Array(buffer, 21),
  };
}
